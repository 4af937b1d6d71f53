-- Initiates sales and checks each of them: requests in pairs, no two alike. TOKENS names a file with access tokens.

local tokens = {}
for token in io.lines(os.getenv("TOKENS")) do tokens[#tokens + 1] = token end

local opened = {}
local count = 0
local body_of_initiate = '{"consumer":{"device":{"serialNumber":"device-%d"},"ipAddresses":["192.0.2.17"]},'
  .. '"session":{"accessToken":"%s"},"transaction":{"amountCentis":%d,"currency":"EUR"}}'
local body_of_check = '{"consumer":{"device":{"serialNumber":"device-%d"}},'
  .. '"session":{"accessToken":"%s","nonce":"%s","signature":"%s","token":"session-%012d"}}'

function init()
  math.randomseed(tonumber(os.getenv("SEED")))
  count = math.random(1, 9) * 1e11
end

function request()
  count = count + 1
  local sale = table.remove(opened)
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
  local signature = body:match('"signature":"(%x+)"')
  if status == 200 and signature then
    opened[#opened + 1] = {
      device = tonumber(headers["x-request-id"]),
      invoice = body:match('"invoiceId":"([^"]+)"'),
      nonce = body:match('"nonce":"(%x+)"'),
      signature = signature,
    }
  end
end
