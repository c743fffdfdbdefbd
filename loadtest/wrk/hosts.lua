-- Requests over many hosts and paths, in random order: HOSTS (default 1000) times PATHS (default
-- 100), named as the comparison's routes scenario names them.
local hosts = tonumber(os.getenv("HOSTS") or "1000")
local paths = tonumber(os.getenv("PATHS") or "100")

function request()
    local host = string.format("h%04d.example.com", math.random(0, hosts - 1))
    local path = string.format("/service/p%03d/items", math.random(0, paths - 1))
    return wrk.format("GET", path, { ["Host"] = host })
end
