"""The scripts that decide about things: each is one step for everybody, so of two who reach at once one is first."""

from services.realtime.cluster.lua import NEXT_VERSION, PEOPLE, THINGS, thing_keys

# Things that were made, and bytes of their states: by one socket; by all sockets of an account in the space; from an
# address; in the space with all its subspaces. The last is what a newcomer has to take, and no single address fills it.
MAX_OF_SOCKET, MAX_BYTES_OF_SOCKET = 64, 64 * 1024
MAX_OF_ACCOUNT, MAX_BYTES_OF_ACCOUNT = 128, 128 * 1024
MAX_OF_ADDRESS, MAX_BYTES_OF_ADDRESS = 256, 256 * 1024
MAX_IN_SPACE, MAX_BYTES_IN_SPACE = 2000, 1024 * 1024
# Things that one may hold at once.
MAX_HELD_BY_SOCKET, MAX_HELD_BY_ACCOUNT, MAX_HELD_BY_ADDRESS = 32, 64, 256

# KEYS: `thing_store.keys`, after members and people. ARGV: channel, what to do, socket id, owner, subspace, address, 1
# for one who moderates, the thing's id, and of `make` the state, its bytes, 1 to hold it, the account; of `set` the
# fields, the version or an empty text, the most bytes, the most fields. Returns {'ok', version, thing} or a refusal:
# {'away'}, where the socket is no member there; {'missing'}; {'held', holder}; {'changed', version}; {'others'}, who
# made or hold it; {'full', whose, number, bytes} and {'hands', number} for a bound; {'large'}.
CHANGE_THING = (
    thing_keys(members=1, people=2, first=3)
    + NEXT_VERSION
    + PEOPLE
    + THINGS
    + f"""
local MOST = {{
  {{'A space has', '', {MAX_IN_SPACE}, {MAX_BYTES_IN_SPACE}}},
  {{'One socket may make', 's ', {MAX_OF_SOCKET}, {MAX_BYTES_OF_SOCKET}}},
  {{'One may make', 'o ', {MAX_OF_ACCOUNT}, {MAX_BYTES_OF_ACCOUNT}}},
  {{'An address may make', 'a ', {MAX_OF_ADDRESS}, {MAX_BYTES_OF_ADDRESS}}},
}}
local MOST_HELD, MOST_HELD_OF_OWNER = {MAX_HELD_BY_SOCKET}, {MAX_HELD_BY_ACCOUNT}
local MOST_HELD_OF_ADDRESS = {MAX_HELD_BY_ADDRESS}
"""
    + """
local action, sid, owner, subspace, home = ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]
local moderates, id = ARGV[7] == '1', ARGV[8]
local name = subspace .. ':' .. id

local function is_here()
  for _, socket in ipairs(sockets_of(PEOPLE, MEMBERS, owner, '')) do
    if socket.sid == sid and socket.subspace == subspace then return true end
  end
  return false
end
local function counted(field) return tonumber(redis.call('HGET', COUNTS, field) or '0') end
local function no_room(thing, more, bytes)
  local names = {'', thing.maker, thing.owner, thing.home}
  for i, most in ipairs(MOST) do
    local whose = most[2] .. names[i]
    local is_over = counted('n ' .. whose) + more > most[3] or counted('b ' .. whose) + bytes > most[4]
    if is_over and not (i == 1 and moderates) then return {'full', most[1], most[3], most[4]} end
  end
end
local function no_hand()
  local held = 0
  for _ in pairs(held_by(sid)) do held = held + 1 end
  if held >= MOST_HELD then return {'hands', MOST_HELD} end
  if counted('h o ' .. owner) >= MOST_HELD_OF_OWNER then return {'hands', MOST_HELD_OF_OWNER} end
  if counted('h a ' .. home) >= MOST_HELD_OF_ADDRESS then return {'hands', MOST_HELD_OF_ADDRESS} end
end
local function holder_of(thing)
  return thing.holder and redis.call('HEXISTS', MEMBERS, thing.holder) == 1 and thing.holder
end
local function done(thing) return {'ok', string.format('%.0f', thing.version), cjson.encode(thing)} end

local function make()
  local thing = thing_of(name)
  if thing then return done(thing) end
  thing = {id = id, subspace = subspace, maker = sid, owner = owner, home = home, account = ARGV[12]}
  thing.state, thing.bytes = cjson.decode(ARGV[9]), tonumber(ARGV[10])
  local holds = ARGV[11] == '1'
  local refusal = no_room(thing, 1, thing.bytes) or (holds and no_hand())
  if refusal then return refusal end
  if holds then set_holder(name, thing, sid, owner, home) end
  count_thing(thing, 1, thing.bytes)
  tell('made', thing, {thing = thing})
  keep(name, thing)
  return done(thing)
end
local function hold(thing)
  if thing.holder == sid then return done(thing) end
  local refusal = no_hand()
  if refusal then return refusal end
  set_holder(name, thing, sid, owner, home)
  tell('held', thing, {socket_id = sid, owner = owner, home = home})
  keep(name, thing)
  return done(thing)
end
local function set(thing)
  if ARGV[10] ~= '' and tonumber(ARGV[10]) ~= thing.version then
    return {'changed', string.format('%.0f', thing.version)}
  end
  local fields, count, bytes = cjson.decode(ARGV[9]), 0, 0
  for field, value in pairs(fields) do
    if value == 'null' then thing.state[field] = nil else thing.state[field] = value end
  end
  for field, value in pairs(thing.state) do count, bytes = count + 1, bytes + #field + #value end
  if bytes > tonumber(ARGV[11]) or count > tonumber(ARGV[12]) then return {'large'} end
  local more = bytes - thing.bytes
  local refusal = more > 0 and no_room(thing, 0, more)
  if refusal then return refusal end
  count_thing(thing, 0, more)
  thing.bytes = bytes
  tell('set', thing, {socket_id = sid, state = fields})
  keep(name, thing)
  return done(thing)
end
local function release(thing)
  if thing.holder then
    set_holder(name, thing, nil)
    tell('released', thing)
    keep(name, thing)
  end
  return done(thing)
end
local function remove(thing)
  if thing.owner ~= owner and not moderates then return {'others'} end
  set_holder(name, thing, nil)
  count_thing(thing, -1, -thing.bytes)
  redis.call('HDEL', THINGS, name)
  tell('removed', thing)
  return done(thing)
end

if not is_here() then return {'away'} end
if action == 'make' then return make() end
local thing = thing_of(name)
if not thing then return {'missing'} end
local holder = holder_of(thing)
local takes_away = moderates and (action == 'release' or action == 'remove')
if holder and holder ~= sid and not takes_away then return {'held', holder} end
return ({hold = hold, set = set, release = release, remove = remove})[action](thing)
"""
)

# KEYS: as above. Returns {version, things} of one moment; 0 as version where Redis has lost it, or never had it.
READ_THINGS = """
return {redis.call('GET', KEYS[6]) or '0', redis.call('HVALS', KEYS[3])}
"""

# KEYS: as above. ARGV: channel, the version that is known, things. Puts back what Redis has lost, unless another
# replica has done so. A holder need not be a member yet: its replica puts it back as well.
PUT_BACK_THINGS = (
    thing_keys(members=1, people=2, first=3)
    + NEXT_VERSION
    + THINGS
    + """
if tonumber(redis.call('GET', THING_VERSION) or '0') >= tonumber(ARGV[2]) then return 0 end
redis.call('DEL', THINGS, COUNTS, HOLDERS, THING_VERSION)
for i = 3, #ARGV do
  local thing = cjson.decode(ARGV[i])
  local name, sid = thing.subspace .. ':' .. thing.id, thing.holder
  thing.holder = nil
  if sid then set_holder(name, thing, sid, thing.holder_owner, thing.holder_home) end
  count_thing(thing, 1, thing.bytes)
  keep(name, thing)
end
tell('put back', {subspace = '', id = ''})
return 1
"""
)
