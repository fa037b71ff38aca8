// The list, a space, a page of its chat and a join, as a Node user writes them with Express 5 and pg: one query each,
// answered from the same database, and nothing checked.
//   node rest.js PORT DATABASE_URL
const express = require('express')
const { Pool } = require('pg')

const SUMMARY = `'post' AS space_type, author || '/' || permlink AS space_id, title AS display_name, description, type,
  author AS creator, votes, rating::float8 AS rating, created_at`

const [, , port, connectionString] = process.argv
const pool = new Pool({ connectionString, max: 20 })
const app = express()
app.use(express.json())

app.get('/health', (req, res) => {
  res.json({ status: 'ok' })
})

app.get('/api/spaces', async (req, res) => {
  const limit = Math.min(Number(req.query.limit) || 50, 200)
  const { rows } = await pool.query(
    `SELECT ${SUMMARY} FROM posts WHERE NOT hidden AND NOT flagged ORDER BY votes DESC, author, permlink LIMIT $1`,
    [limit]
  )
  res.json({ spaces: rows })
})

app.get('/api/spaces/post/:author/:permlink', async (req, res) => {
  const { rows } = await pool.query(`SELECT ${SUMMARY} FROM posts WHERE author = $1 AND permlink = $2`, [
    req.params.author,
    req.params.permlink
  ])
  if (rows.length) res.json(rows[0])
  else res.status(404).json({ error: 'not found' })
})

app.get('/api/chat/post/:author/:permlink/messages', async (req, res) => {
  const { rows } = await pool.query(
    `SELECT * FROM chat_messages WHERE space_type = 'post' AND space_id = $1 ORDER BY seq DESC LIMIT 50`,
    [`${req.params.author}/${req.params.permlink}`]
  )
  res.json({ messages: rows.reverse() })
})

app.post('/api/spaces/post/:author/:permlink/join', async (req, res) => {
  const { rows } = await pool.query(`SELECT ${SUMMARY} FROM posts WHERE author = $1 AND permlink = $2`, [
    req.params.author,
    req.params.permlink
  ])
  if (rows.length) res.json({ success: true, space: rows[0], subspace: 'main' })
  else res.status(404).json({ error: 'not found' })
})

app.listen(Number(port), '127.0.0.1')
