-- Initiates sales and checks each of them: requests in pairs, no two alike. Tells as JSON, in its last line, what was
-- answered and how fast. The environment says how:
--   TOKENS  names a file with access tokens, one a line
--   SEED    makes the random values of one run differ from those of another
--   ECHO    if set, the server only echoes: checks have invented values, and wait for no session
--   RATE    if set, how many requests to send in a second, at random moments; else as many as are answered

local ffi = require("ffi")
ffi.cdef [[
  typedef struct { long seconds; long nanoseconds; } moment;
  int clock_gettime(int clock, moment *now);
]]
local MONOTONIC = 1

local tokens = {}
for token in io.lines(os.getenv("TOKENS")) do tokens[#tokens + 1] = token end

local echo = os.getenv("ECHO") ~= nil
local rate = tonumber(os.getenv("RATE"))
local opened = {}
local count = 0
local body_of_initiate = '{"consumer":{"device":{"serialNumber":"device-%d"},"ipAddresses":["192.0.2.17"]},'
  .. '"session":{"accessToken":"%s"},"transaction":{"amountCentis":%d,"currency":"EUR"}}'
local body_of_check = '{"consumer":{"device":{"serialNumber":"device-%d"}},'
  .. '"session":{"accessToken":"%s","nonce":"%s","signature":"%s","token":"session-%012d"}}'

-- Globals: these are how `done`, which runs in another interpreter, reaches what a thread has counted.
answers, initiates, checks = {}, 0, 0

function init()
  math.randomseed(tonumber(os.getenv("SEED")))
  count = math.random(1, 9) * 1e11
end

local function invented_sale()
  return {
    device = math.random(#tokens),
    invoice = ("00000000-0000-7000-8000-%012d"):format(count),
    nonce = ("%064d"):format(count),
    signature = ("%040d"):format(count),
  }
end

function request()
  count = count + 1
  local sale = table.remove(opened)
  if echo and count % 2 == 0 then sale = invented_sale() end
  if sale then
    local body = body_of_check:format(sale.device, tokens[sale.device], sale.nonce, sale.signature, count)
    return wrk.format("POST", "/sale/" .. sale.invoice .. "/check", { ["Content-Type"] = "application/json" }, body)
  end
  local device = math.random(#tokens)
  -- The answer brings the request's id back, and so tells whose it is.
  local headers = { ["Content-Type"] = "application/json", ["X-Request-Id"] = tostring(device) }
  local body = body_of_initiate:format(device, tokens[device], math.random(1, 99999))
  return wrk.format("POST", "/sale/initiate-sale", headers, body)
end

function response(status, headers, body)
  local answer = tostring(status)
  local signature = body:match('"signature":"(%x+)"')
  if status ~= 200 then
    answer = answer .. " code " .. (body:match('"code":"(%d+)"') or "unknown")
  elseif echo then
    if signature then checks = checks + 1 else initiates = initiates + 1 end
  elseif signature then
    initiates = initiates + 1
    opened[#opened + 1] = {
      device = tonumber(headers["x-request-id"]),
      invoice = body:match('"invoiceId":"([^"]+)"'),
      nonce = body:match('"nonce":"(%x+)"'),
      signature = signature,
    }
  elseif body:find('"checkSignature":"', 1, true) then
    checks = checks + 1
  else
    answer = "200 that is neither a session nor a confirmation"
  end
  answers[answer] = (answers[answer] or 0) + 1
end

if rate then
  local now, due = ffi.new("moment"), nil

  -- How many milliseconds a connection that is free waits for its turn. The turns of all connections together are a
  -- Poisson process: they come one after the other, exponentially distributed times apart, however long answers take.
  function delay()
    ffi.C.clock_gettime(MONOTONIC, now)
    local seconds = tonumber(now.seconds) + tonumber(now.nanoseconds) / 1e9
    due = (due or seconds) - math.log(1 - math.random()) / rate
    return math.max(0, (due - seconds) * 1000)
  end
end

local threads = {}

function setup(thread)
  threads[#threads + 1] = thread
end

function done(summary, latency, requests)
  local thread = threads[1] -- wrk -t1: `opened` is of a thread, and so are the pairs
  local counted = {}
  for answer, number in pairs(thread:get("answers")) do counted[#counted + 1] = ('"%s":%d'):format(answer, number) end
  local errors = summary.errors
  print(
    ('{"requests":%d,"seconds":%.6f,"initiates":%d,"checks":%d,"answers":{%s},'):format(
      summary.requests, summary.duration / 1e6, thread:get("initiates"), thread:get("checks"), table.concat(counted, ","))
    .. ('"faults":{"connect":%d,"read":%d,"write":%d,"timeout":%d},'):format(
      errors.connect, errors.read, errors.write, errors.timeout)
    .. ('"latency_ms":{"p50":%.3f,"p90":%.3f,"p99":%.3f,"max":%.3f}}'):format(
      latency:percentile(50) / 1e3, latency:percentile(90) / 1e3, latency:percentile(99) / 1e3, latency.max / 1e3)
  )
end
