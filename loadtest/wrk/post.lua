-- POSTs a JSON-sized body: SIZE bytes (default 16384) to the URL given to wrk.
local size = tonumber(os.getenv("SIZE") or "16384")
wrk.method = "POST"
wrk.body = string.rep("tollgate", math.ceil(size / 8)):sub(1, size)
wrk.headers["Content-Type"] = "application/json"
