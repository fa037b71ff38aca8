"""The scripts that keep who is in a space: each is one step for everybody, however many replicas take it at once."""

from libs.common import cache
from services.realtime.cluster.lua import NEXT_VERSION, PEOPLE, THINGS, thing_keys

NOBODY = "-"  # whose place a member takes who was here all the time
FULL, STALE, ASKED, JOINED = 0, 1, 2, 3  # of an answer of JOIN

# KEYS: members, version, epoch, people, dropped, and those of things. ARGV: channel, timestamp, and of each: socket id,
# owner, subspace, max, epoch, predecessor, member. Returns {used, answers}; an answer is a code and a member: FULL;
# STALE, of one who was let in under another epoch; ASKED, with the connection of the same person whose state the member
# is to have, before it comes again with that as its predecessor; JOINED, with the one whose place it took, if it took
# one: what that one held is in its hand. Of a person's connections those that broke are replaced, the oldest of the
# same subspace first, and each once: who asks together with others is told of another one. Where none broke, the newest
# is asked about: it may be dead and not know it.
JOIN = (
    thing_keys(members=1, people=4, first=6)
    + NEXT_VERSION
    + PEOPLE
    + THINGS
    + """
local members, people, dropped = KEYS[1], KEYS[4], KEYS[5]
local used = redis.call('HLEN', members)
local current = tonumber(redis.call('GET', KEYS[3]) or '0')
local answers, arrivals, promised, places = {}, {}, {}, {}
for i = 3, #ARGV, 7 do
  local sid, owner, subspace, max = ARGV[i], ARGV[i + 1], ARGV[i + 2], tonumber(ARGV[i + 3])
  local epoch, predecessor, member = ARGV[i + 4], ARGV[i + 5], ARGV[i + 6]
  local before = redis.call('HGET', members, sid)
  local others = sockets_of(people, members, owner, sid)
  local broken, newest
  if not before and predecessor ~= '-' then
    for _, other in ipairs(others) do
      if redis.call('HEXISTS', dropped, other.sid) == 1 and not promised[other.sid] then
        local nearer = broken and broken.subspace ~= subspace and other.subspace == subspace
        if not broken or nearer or (other.sid == predecessor and other.subspace == subspace) then broken = other end
      elseif other.subspace == subspace then newest = other end
    end
  end
  local ask
  if before and predecessor ~= sid and redis.call('HEXISTS', dropped, sid) == 1 then ask = sid
  elseif broken and broken.subspace == subspace then
    if broken.sid ~= predecessor then ask = broken.sid end
  elseif newest and predecessor == '' then ask = newest.sid end
  local old = before and sid or (broken and broken.sid)
  if epoch ~= '' and tonumber(epoch) ~= current then
    table.insert(answers, {1, ''})
  elseif ask then
    if broken then promised[ask] = true end
    table.insert(answers, {2, redis.call('HGET', members, ask)})
  elseif not old and used >= max then
    table.insert(answers, {0, ''})
  else
    local replaced = before or (broken and redis.call('HGET', members, old))
    if not old then used = used + 1 end
    redis.call('HDEL', dropped, sid)
    if broken then
      redis.call('HDEL', members, old)
      redis.call('HDEL', dropped, old)
      others = sockets_of(people, members, owner, sid)
    end
    redis.call('HSET', members, sid, member)
    table.insert(others, {sid = sid, subspace = subspace})
    keep_sockets(people, owner, others)
    table.insert(answers, {3, replaced or ''})
    if old then
      table.insert(places, {old = old, sid = sid, subspace = subspace, left = cjson.decode(replaced).subspace})
    end
    local whom = old and cjson.encode(old) or 'null'
    table.insert(arrivals, '{"member":' .. member .. ',"replaces":' .. whom .. '}')
  end
end
if #arrivals > 0 then
  redis.call('PUBLISH', ARGV[1], '{"type":"joined","version":' .. next_version(KEYS[2]) ..
    ',"arrivals":[' .. table.concat(arrivals, ',') .. '],"timestamp":"' .. ARGV[2] .. '"}')
end
for _, place in ipairs(places) do
  hand_on(place.old, place.sid, place.subspace)
  end_empty(place.left)
end
return {used, answers}
"""
)

# KEYS: members, version, people, dropped, and those of things. ARGV: channel, reason, timestamp, socket ids... Returns
# {left, {members that left}}. What they held is free, and the things of a subspace end with its last member. With the
# last member of all the versions get an end: without it the next member would find no greater one than was announced
# last.
LEAVE = (
    cache.EVEN_WHEN_FULL
    + thing_keys(members=1, people=3, first=5)
    + NEXT_VERSION
    + PEOPLE
    + THINGS
    + """
local gone, ids, left_places = {}, {}, {}
for i = 4, #ARGV do
  local member = redis.call('HGET', KEYS[1], ARGV[i])
  redis.call('HDEL', KEYS[4], ARGV[i])
  if member then
    redis.call('HDEL', KEYS[1], ARGV[i])
    local record = cjson.decode(member)
    local person = record.person
    left_places[ARGV[i]] = record.subspace
    local owner = (person and person ~= '') and person or ARGV[i]
    keep_sockets(KEYS[3], owner, sockets_of(KEYS[3], KEYS[1], owner, ARGV[i]))
    table.insert(gone, member)
    table.insert(ids, cjson.encode(ARGV[i]))
  end
end
if #ids > 0 then
  redis.call('PUBLISH', ARGV[1], '{"type":"left","version":' .. next_version(KEYS[2]) .. ',"socket_ids":[' ..
    table.concat(ids, ',') .. '],"reason":"' .. ARGV[2] .. '","timestamp":"' .. ARGV[3] .. '"}')
end
for sid in pairs(left_places) do hand_on(sid) end
local ended = {}
for _, subspace in pairs(left_places) do
  if not ended[subspace] then end_empty(subspace) end
  ended[subspace] = true
end
local left = redis.call('HLEN', KEYS[1])
if left == 0 then
  redis.call('EXPIRE', KEYS[2], VERSION_SECONDS)
  redis.call('EXPIRE', THING_VERSION, VERSION_SECONDS)
end
return {left, gone}
"""
).replace("VERSION_SECONDS", str(cache.VERSION_SECONDS))

# KEYS: members. ARGV: socket id, member. Never brings one back who has left.
UPDATE = f"""{cache.EVEN_WHEN_FULL}
if redis.call('HEXISTS', KEYS[1], ARGV[1]) == 1 then redis.call('HSET', KEYS[1], ARGV[1], ARGV[2]) end
"""

# KEYS: members, dropped. ARGV: socket id, member. Leaving ends the mark.
MARK = f"""{cache.EVEN_WHEN_FULL}
if redis.call('HEXISTS', KEYS[1], ARGV[1]) == 1 then
  redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
  redis.call('HSET', KEYS[2], ARGV[1], '1')
end
"""

# KEYS: members, people, owners, entities of the owner. ARGV: owner, subspace, name, stamp, entity. A word that is late
# keeps nothing of one who left, and overtakes no later one.
PUT_ENTITY = (
    PEOPLE
    + """
if not is_in(KEYS[2], KEYS[1], ARGV[1], ARGV[2]) then return 0 end
local known = redis.call('HGET', KEYS[4], ARGV[3])
if known and tonumber(string.match(known, '"stamp":(%d+)}$') or '0') >= tonumber(ARGV[4]) then return 0 end
redis.call('SADD', KEYS[3], ARGV[2] .. ':' .. ARGV[1])
redis.call('HSET', KEYS[4], ARGV[3], ARGV[5])
return 1
"""
)

# KEYS: entities of the owner. ARGV: name, stamp.
REMOVE_ENTITY = """
local known = redis.call('HGET', KEYS[1], ARGV[1])
if known and tonumber(string.match(known, '"stamp":(%d+)}$') or '0') <= tonumber(ARGV[2]) then
  redis.call('HDEL', KEYS[1], ARGV[1])
end
"""

# KEYS: members, people, owners, then the entities of each two ARGV, an owner and a subspace that may be left.
DROP_ENTITIES = (
    cache.EVEN_WHEN_FULL
    + PEOPLE
    + """
for i = 1, #ARGV, 2 do
  if not is_in(KEYS[2], KEYS[1], ARGV[i], ARGV[i + 1]) then
    redis.call('SREM', KEYS[3], ARGV[i + 1] .. ':' .. ARGV[i])
    redis.call('DEL', KEYS[3 + (i + 1) / 2])
  end
end
"""
)

# KEYS: the popular spaces. ARGV: space, members.
SHOW_COUNT = f"""{cache.EVEN_WHEN_FULL}
if ARGV[2] == '0' then redis.call('ZREM', KEYS[1], ARGV[1]) else redis.call('ZADD', KEYS[1], ARGV[2], ARGV[1]) end
"""

# KEYS: leases. ARGV: replica, lease in ms. Returns 1 if the lease was still held.
RENEW = f"""{cache.EVEN_WHEN_FULL}
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local held = redis.call('ZSCORE', KEYS[1], ARGV[1])
redis.call('ZADD', KEYS[1], now + tonumber(ARGV[2]), ARGV[1])
return held and tonumber(held) >= now and 1 or 0
"""

# KEYS: leases. Returns the replicas whose lease ran out.
EXPIRED = """
local t = redis.call('TIME')
return redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', t[1] * 1000 + math.floor(t[2] / 1000))
"""

# KEYS: leases. ARGV: replica. Forget a lease that is still expired.
FORGET = """
local t = redis.call('TIME')
local expiry = redis.call('ZSCORE', KEYS[1], ARGV[1])
if expiry and tonumber(expiry) < t[1] * 1000 + math.floor(t[2] / 1000) then
  redis.call('ZREM', KEYS[1], ARGV[1])
  return 1
end
return 0
"""
