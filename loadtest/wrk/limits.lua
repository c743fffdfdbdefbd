-- Counts answers by status and keeps the last rate-limit fields, so that one sees how many
-- requests a limit let through. TIER sets an x-tier header field.
counts = {}
remaining = "none"
retry_after = "none"

function init()
    local tier = os.getenv("TIER")
    if tier then
        wrk.headers["X-Tier"] = tier
    end
end

function response(status, headers)
    local key = tostring(status)
    counts[key] = (counts[key] or 0) + 1
    remaining = headers["RateLimit"] or headers["ratelimit"] or remaining
    retry_after = headers["Retry-After"] or headers["retry-after"] or retry_after
end

local threads = {}

function setup(thread)
    table.insert(threads, thread)
end

function done()
    for number, thread in ipairs(threads) do
        for status, count in pairs(thread:get("counts")) do
            print("thread " .. number .. ": " .. count .. " answers with status " .. status)
        end
        print("thread " .. number .. ": last RateLimit: " .. thread:get("remaining")
            .. ", last Retry-After: " .. thread:get("retry_after"))
    end
end
