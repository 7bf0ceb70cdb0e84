package llm

import (
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// askedWait is how long a provider asked to wait. Absolute times count from the answer's own date.
func askedWait(h http.Header, now time.Time) (time.Duration, bool) {
	if ms, err := strconv.ParseFloat(h.Get("retry-after-ms"), 64); err == nil && ms >= 0 && ms < 1e9 {
		return time.Duration(ms * float64(time.Millisecond)), true
	}
	if d, err := http.ParseTime(h.Get("Date")); err == nil {
		now = d
	}
	if s := h.Get("Retry-After"); s != "" {
		if n, err := strconv.ParseFloat(s, 64); err == nil && n >= 0 && n < 1e7 {
			return time.Duration(n * float64(time.Second)), true
		}
		if at, err := http.ParseTime(s); err == nil {
			return max(0, at.Sub(now)), true
		}
	}
	longest := claudeReset(h, now)
	for _, names := range resets {
		if strings.TrimSpace(h.Get(names.remaining)) == "0" {
			longest = max(longest, resetIn(strings.TrimSpace(h.Get(names.reset)), now))
		}
	}
	return longest, longest > 0
}

// resets are the headers of a limit of which nothing remains: OpenAI's, OpenRouter's, and those of the draft of the IETF.
// https://platform.openai.com/docs/guides/rate-limits https://openrouter.ai/docs/api-reference/limits
// https://datatracker.ietf.org/doc/draft-ietf-httpapi-ratelimit-headers/03/
var resets = []struct{ remaining, reset string }{
	{"x-ratelimit-remaining-requests", "x-ratelimit-reset-requests"}, {"x-ratelimit-remaining-tokens", "x-ratelimit-reset-tokens"},
	{"x-ratelimit-remaining", "x-ratelimit-reset"}, {"ratelimit-remaining", "ratelimit-reset"},
}

// resetIn reads a duration (6m0s), seconds, or a time in seconds or milliseconds since 1970; 0: it is none.
func resetIn(s string, now time.Time) time.Duration {
	if d, err := time.ParseDuration(s); err == nil {
		return max(0, d)
	}
	n, err := strconv.ParseFloat(s, 64)
	switch {
	case err != nil || !(n > 0) || n > 1e14:
		return 0
	case n < 1e7:
		return time.Duration(n * float64(time.Second))
	case n < 1e11:
		return max(0, time.Unix(int64(n), 0).Sub(now))
	}
	return max(0, time.UnixMilli(int64(n)).Sub(now))
}

// claudeReset is how long the limits of which nothing remains last: https://platform.claude.com/docs/en/api/rate-limits
func claudeReset(h http.Header, now time.Time) time.Duration {
	var longest time.Duration
	for _, what := range []string{"requests", "tokens", "input-tokens", "output-tokens"} {
		if h.Get("anthropic-ratelimit-"+what+"-remaining") != "0" {
			continue
		}
		if at, err := time.Parse(time.RFC3339, h.Get("anthropic-ratelimit-"+what+"-reset")); err == nil {
			longest = max(longest, at.Sub(now))
		}
	}
	return longest
}

var againWords = regexp.MustCompile(`(?i)(?:try again|retry) (?:in|after) ((?:\d+h)?(?:\d+m)?(?:\d+(?:\.\d+)?m?s)?)(?:(\d+(?:\.\d+)?) ?(second|minute|hour)s?)?\b`)

// saidWait is a wait that stands in an error's sentence: try again in 6m0s, retry after 26 seconds; 0: none does.
func saidWait(text string) time.Duration {
	m := againWords.FindStringSubmatch(text)
	if m == nil {
		return 0
	}
	if d, err := time.ParseDuration(m[1]); err == nil {
		return d
	}
	n, err := strconv.ParseFloat(m[2], 64)
	if err != nil || n > 1e6 {
		return 0
	}
	unit := map[string]time.Duration{"second": time.Second, "minute": time.Minute, "hour": time.Hour}[strings.ToLower(m[3])]
	return time.Duration(n * float64(unit))
}

// clockOff is how far the clock of who answered is ahead; less than a minute is none.
func clockOff(h http.Header, now time.Time) time.Duration {
	d, err := http.ParseTime(h.Get("Date"))
	if off := d.Sub(now); err == nil && off.Abs() >= time.Minute {
		return off.Round(time.Second)
	}
	return 0
}
