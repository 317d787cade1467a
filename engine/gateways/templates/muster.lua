-- HAProxy's action `lua.muster`: ask Muster about this request, and end it unless Muster allows it. Printed by:
--   <<command>>

local INNER = "<<inner>>" -- HAProxy's own listener, which asks Muster
local URL = "http://127.0.0.1<<ask_path>>"
local DEADLINE = <<deadline>> -- milliseconds that an ask may take
<<key_line>>

-- Muster's own answers besides 200. Of these 503 counts only as its problem document: HAProxy says 503 by itself, too.
local TOLD = { [303] = true, [401] = true, [403] = true, [503] = true }

-- What belongs to one connection, promises a body, or is set below.
local NOT_ASKED = {
  ["connection"] = true, ["proxy-connection"] = true, ["keep-alive"] = true, ["te"] = true, ["trailer"] = true,
  ["transfer-encoding"] = true, ["content-length"] = true, ["upgrade"] = true, ["expect"] = true,
  ["http2-settings"] = true,
  ["x-original-uri"] = true, ["x-original-method"] = true,
  ["x-forwarded-uri"] = true, ["x-forwarded-method"] = true, ["x-forwarded-host"] = true,
}
local NOT_TOLD = {
  ["connection"] = true, ["proxy-connection"] = true, ["keep-alive"] = true, ["transfer-encoding"] = true,
  ["content-length"] = true, ["upgrade"] = true, ["trailer"] = true,
}

local function read_key(path)
  local file = assert(io.open(path, "r"))
  local key = file:read("a"):gsub("%s+$", "")
  file:close()
  assert(key:match("^[%w._~+/=-]+$"), path .. ": expected one line with the gateway's token")
  return key
end

local KEY = KEY_FILE and read_key(KEY_FILE)

-- The lines of one header: HAProxy counts them from 0.
local function lines(values)
  local list = {}
  for index = 0, #values do
    if values[index] ~= nil then
      list[#list + 1] = values[index]
    end
  end
  return list
end

local function first(headers, name)
  return headers[name] and lines(headers[name])[1]
end

-- What the application will be sent: the target as it came, which for HTTP/2 is the path and query only.
local function target(txn)
  if txn.sf:req_ver() == "2.0" then
    return txn.sf:pathq()
  end
  return txn.sf:url()
end

local function headers_of(txn)
  local headers = {}
  for name, values in pairs(txn.http:req_get_headers()) do
    local lower = name:lower()
    if not NOT_ASKED[lower] and lower:sub(1, 6) ~= "muster" then
      headers[lower] = lines(values)
    end
  end
  headers["x-original-uri"] = { target(txn) }
  headers["x-original-method"] = { txn.sf:method() }
  headers["muster-gateway-key"] = KEY and { KEY } or nil
  return headers
end

local function tell(txn, answer)
  local reply = txn:reply({ status = answer.status })
  for name, values in pairs(answer.headers) do
    if not NOT_TOLD[name:lower()] then
      for _, line in ipairs(lines(values)) do
        reply:add_header(name, line)
      end
    end
  end
  reply:set_body(answer.body or "")
  txn:done(reply)
end

local function muster(txn)
  local answer = core.httpclient():get({
    url = URL, dst = INNER, headers = headers_of(txn), timeout = DEADLINE,
  })
  local id = first(answer.headers or {}, "muster-decision-id")
  if answer.status == 200 and id then
    txn.http:req_set_header("muster-decision-id", id)
    local assertion = first(answer.headers, "muster-assertion")
    if assertion then
      txn.http:req_set_header("muster-assertion", assertion)
    end
    txn:set_var("txn.muster", "allowed")
  elseif TOLD[answer.status] and (answer.status ~= 503 or id) then
    tell(txn, answer)
  end
end

core.register_action("muster", { "http-req" }, muster, 0)
