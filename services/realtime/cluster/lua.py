"""Functions that the scripts share, in Lua."""

NEXT_VERSION = """
local function next_version(key)
  if redis.call('EXISTS', key) == 0 then
    local t = redis.call('TIME')
    redis.call('SET', key, t[1] * 1000 + math.floor(t[2] / 1000))
  end
  redis.call('PERSIST', key)
  return string.format('%.0f', redis.call('INCR', key))
end
"""

# A field of the people's hash is `socket subspace socket subspace …`, the oldest first. One that is no member any more,
# since Redis lost it, is passed over.
PEOPLE = """
local function sockets_of(people, members, owner, but)
  local found = {}
  for sid, subspace in string.gmatch(redis.call('HGET', people, owner) or '', '(%S+) (%S+)') do
    if sid ~= but and redis.call('HEXISTS', members, sid) == 1 then
      table.insert(found, {sid = sid, subspace = subspace})
    end
  end
  return found
end
local function keep_sockets(people, owner, sockets)
  local parts = {}
  for _, socket in ipairs(sockets) do table.insert(parts, socket.sid .. ' ' .. socket.subspace) end
  if #parts == 0 then redis.call('HDEL', people, owner)
  else redis.call('HSET', people, owner, table.concat(parts, ' ')) end
end
local function is_in(people, members, owner, subspace)
  for _, socket in ipairs(sockets_of(people, members, owner, '')) do
    if socket.subspace == subspace then return true end
  end
  return false
end
"""

# Things, of a script that begins with `thing_keys`. A thing's state is an object of names and of JSON as text, since
# Lua would not write what it read: [] and {} are one to it. A holder that is no member any more holds nothing. Every
# change takes the next version, which is the thing's from then on, and is told with it; a number of 13 digits is exact.
THINGS = """
local function thing_of(name)
  local text = redis.call('HGET', THINGS, name)
  return text and cjson.decode(text)
end
local function add_count(field, change)
  if change ~= 0 and redis.call('HINCRBY', COUNTS, field, change) <= 0 then redis.call('HDEL', COUNTS, field) end
end
local function count_thing(thing, change, bytes)
  for _, whose in ipairs({'', 's ' .. thing.maker, 'o ' .. thing.owner, 'a ' .. thing.home, 'in ' .. thing.subspace}) do
    add_count('n ' .. whose, change)
    add_count('b ' .. whose, bytes)
  end
end
local function held_by(sid) return cjson.decode(redis.call('HGET', HOLDERS, sid) or '{}') end
local function note_hold(sid, name, holds)
  local held = held_by(sid)
  held[name] = holds
  if next(held) then redis.call('HSET', HOLDERS, sid, cjson.encode(held)) else redis.call('HDEL', HOLDERS, sid) end
end
local function set_holder(name, thing, sid, owner, home)
  if thing.holder then
    note_hold(thing.holder, name, nil)
    add_count('h o ' .. thing.holder_owner, -1)
    add_count('h a ' .. thing.holder_home, -1)
  end
  thing.holder, thing.holder_owner, thing.holder_home = sid, owner, home
  if sid then
    note_hold(sid, name, true)
    add_count('h o ' .. owner, 1)
    add_count('h a ' .. home, 1)
  end
end
local function tell(kind, thing, more)
  local said = more or {}
  thing.version = tonumber(next_version(THING_VERSION))
  said.type, said.kind, said.version, said.subspace, said.id = 'thing', kind, thing.version, thing.subspace, thing.id
  redis.call('PUBLISH', ARGV[1], cjson.encode(said))
end
local function keep(name, thing) redis.call('HSET', THINGS, name, cjson.encode(thing)) end
local function hand_on(from, to, subspace)
  if redis.call('HEXISTS', HOLDERS, from) == 0 then return end
  for name in pairs(held_by(from)) do
    local thing = thing_of(name)
    local goes_on = to and thing.subspace == subspace
    if goes_on and to ~= from then
      set_holder(name, thing, to, thing.holder_owner, thing.holder_home)
      tell('held', thing, {socket_id = to, owner = thing.holder_owner, home = thing.holder_home})
    elseif not goes_on then
      set_holder(name, thing, nil)
      tell('released', thing)
    end
    keep(name, thing)
  end
end
local function end_empty(subspace)
  if redis.call('HEXISTS', COUNTS, 'n in ' .. subspace) == 0 then return end
  for _, sockets in ipairs(redis.call('HVALS', PEOPLE)) do
    for sid, where in string.gmatch(sockets, '(%S+) (%S+)') do
      if where == subspace and redis.call('HEXISTS', MEMBERS, sid) == 1 then return end
    end
  end
  local start = subspace .. ':'
  for _, name in ipairs(redis.call('HKEYS', THINGS)) do
    if string.sub(name, 1, #start) == start then
      local thing = thing_of(name)
      set_holder(name, thing, nil)
      count_thing(thing, -1, -thing.bytes)
      redis.call('HDEL', THINGS, name)
    end
  end
  tell('ended', {subspace = subspace, id = ''})
end
"""


def thing_keys(members: int, people: int, first: int) -> str:
    """Returns the beginning of a script with things: which of its keys are the members, the people, and from `first`
    on things, counts, holders and version (`thing_store.keys`).
    """
    names = {"MEMBERS": members, "PEOPLE": people, "THINGS": first, "COUNTS": first + 1}
    names |= {"HOLDERS": first + 2, "THING_VERSION": first + 3}
    keys = ", ".join(f"KEYS[{number}]" for number in names.values())
    return f"local {', '.join(names)} = {keys}\n"
