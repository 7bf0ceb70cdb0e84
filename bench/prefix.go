package main

// Providers cache the beginnings of prompts from 1,024 tokens on, in steps of 128 (OpenAI's guide to prompt caching; Anthropic's minimum is the same for
// most models). Four bytes are taken for a token, as the budget's estimate does.
const (
	bytesPerToken = 4
	cacheLeast    = 1024
	cacheStep     = 128
)

// cacheable is how many tokens of a prompt a provider may have in its cache: the longest beginning that it shares with a call that had ended before.
func cacheable(prompt string, earlier []string) int {
	best := 0
	for _, e := range earlier {
		best = max(best, common(prompt, e))
	}
	tokens := best / bytesPerToken / cacheStep * cacheStep
	if tokens < cacheLeast {
		return 0
	}
	return tokens
}

// common is the length of the longest common beginning.
func common(a, b string) int {
	n := min(len(a), len(b))
	for at := 0; at < n; {
		step := min(4096, n-at)
		if a[at:at+step] == b[at:at+step] {
			at += step
			continue
		}
		for a[at] == b[at] {
			at++
		}
		return at
	}
	return n
}

// shares tells for each call, in order of their beginnings, how many of its tokens may be cached. A beginning counts when the earlier call had ended, since
// calls that fly together find nothing in the cache.
func shares(calls []call) []int {
	out := make([]int, len(calls))
	for i, c := range calls {
		var earlier []string
		for _, e := range calls[:i] {
			if !e.end.After(c.begin) {
				earlier = append(earlier, e.prompt)
			}
		}
		out[i] = cacheable(c.prompt, earlier)
	}
	return out
}

// share tells tokens of prompts and how many of them lie in cacheable beginnings.
type share struct{ calls, tokens, cached int }

func (s share) with(c call, cached int) share {
	return share{s.calls + 1, s.tokens + len(c.prompt)/bytesPerToken, s.cached + cached}
}

func (s share) percent() float64 {
	if s.tokens == 0 {
		return 0
	}
	return 100 * float64(s.cached) / float64(s.tokens)
}
