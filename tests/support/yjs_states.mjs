// Documents as the users' editor writes them, by Yjs itself: prints {name: base64 of the state}.
import * as Y from 'yjs'

const element = (name, children = [], attributes = {}) => {
  const made = new Y.XmlElement(name)
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value)
  made.insert(0, children)
  return made
}

const text = (...parts) => {
  const made = new Y.XmlText()
  let at = 0
  for (const part of parts) {
    const [words, format] = Array.isArray(part) ? part : [part, {}]
    made.insert(at, words, format)
    at += words.length
  }
  return made
}

const paragraph = (...parts) => element('paragraph', [text(...parts)])

const states = {
  formatted: (body) => {
    body.push([
      element('heading', [text('A plan')], { level: 1 }),
      paragraph('Hello ', ['bold <b>', { bold: {} }], ' & \u{1d11e} world'),
      element('paragraph'),
      element('bulletList', [
        element('listItem', [paragraph('one')]),
        element('listItem', [element('paragraph', [text('two'), element('hardBreak'), text('lines')])]),
      ]),
      element('horizontalRule'),
      element('codeBlock', [text('if a:\n    b')]),
      element('paragraph', [text('by '), element('mention', [text('@bob')]), text(' today')]),
    ])
  },
  edited: (body) => {
    body.push([paragraph('gone'), paragraph('kept')])
    body.get(1).get(0).insert(4, ' and added\0')
    body.delete(0, 1)
  },
  empty: () => {},
  deep: (body) => {
    let at = body
    for (let depth = 0; depth < 5_000; depth++) {
      const next = element('blockquote')
      at.push([next])
      at = next
    }
    at.push([paragraph('at the bottom')])
  },
  long: (body) => {
    body.push(Array.from({ length: 20_000 }, (_, number) => paragraph(`line ${number} `.repeat(8))))
  },
}

const made = {}
for (const [name, write] of Object.entries(states)) {
  const document = new Y.Doc()
  document.getMap('config').set('documentName', name)
  document.transact(() => write(document.getXmlFragment('body')))
  made[name] = Buffer.from(Y.encodeStateAsUpdate(document)).toString('base64')
}
process.stdout.write(JSON.stringify(made))
