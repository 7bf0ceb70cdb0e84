package llm

import (
	"regexp"
	"strconv"
	"strings"
)

// The words by which providers tell what is wrong, where no code does. The pages that they are from stand at the tests.
var (
	spentWords  = regexp.MustCompile(`insufficient_quota|enforced_spend_limit|billing_(hard_limit|not_active)`) // whatever else is said
	creditWords = regexp.MustCompile(`(?i)insufficient_quota|enforced_spend_limit|credit|billing|spend(ing)? limit|current quota|API usage limits|insufficient (balance|funds)|arrearage`)
	rateWords   = regexp.MustCompile(`(?i)rate.?limit`)
	limitWords  = regexp.MustCompile(`(?i)slow down|throttl|rate.?limit|too many requests|ServiceQuotaExceeded`)
	largeWords  = regexp.MustCompile(`(?i)request too large|tokens must be reduced`) // for the account's tokens a minute: it never fits

	contextWords = regexp.MustCompile(`(?i)context_length_exceeded|exceed_context_size|maximum (context|prompt) length|context (size|window|length|limit)|prompt is too long|` +
		`too many (input )?tokens|input is too long|string_above_max_length|input token count|model token limit|range of input length|prompt exceeds|max_new_tokens. must be`)
	filterWords = regexp.MustCompile(`(?i)content_filter|content management policy|content_policy|responsible ai policy|content filtering policy|(input|prompt) was flagged|` +
		`our safety system|usage guidelines|content exists risk|data_inspection_failed`)
	keyWords     = regexp.MustCompile(`(?i)API_KEY_INVALID|API key (not valid|expired)|(incorrect|invalid) API key`)
	absentWords  = regexp.MustCompile(`(?i)model identifier is invalid|model_not_found|DeploymentNotFound|model not (exist|found)|not a valid model|invalid_model|invalid model(:| id| name)|unknown model`)
	skewWords    = regexp.MustCompile(`(?i)signature (expired|not yet current)|RequestTimeTooSkewed|InvalidSignatureException`)
	staleWords   = regexp.MustCompile(`(?i)ExpiredToken|token included in the request is expired`)
	prefillWords = regexp.MustCompile(`(?i)assistant message prefill`)
	paramWords   = regexp.MustCompile(`\b(max_completion_tokens|max_tokens|temperature|seed|stop_sequences|stop|response_format|json_schema|stream_options|reasoning_effort|prompt_cache_key|usage|output_config|cache_control|prefill)\b`)
)

// mostWords are how providers tell what max_tokens may be at most.
var mostWords = regexp.MustCompile(`(?i)(?:at most |> |\[1, ?|limit of |less than or equal to )([0-9]{2,9})`)

// mostOf is the limit that an error about max_tokens tells; 0: it tells none.
func mostOf(e providerError) int64 {
	if !strings.Contains(e.message, "max_tokens") && !strings.Contains(e.message, "max_completion_tokens") && !strings.Contains(e.message, "maximum tokens") {
		return 0
	}
	m := mostWords.FindStringSubmatch(e.message)
	if m == nil {
		return 0
	}
	return count(m[1])
}

func paramOf(e providerError) string {
	if m := paramWords.FindString(e.param); m != "" {
		return m
	}
	return paramWords.FindString(e.message)
}

// How providers tell a prompt's tokens and their window where the output that was asked for counts too.
var (
	sumWords    = regexp.MustCompile(`(\d+) \+ \d+ > (\d+)`) // Claude's
	windowWords = regexp.MustCompile(`(?i)(?:context length (?:is|of)(?: only)?|must be <=) (\d+)`)
	promptWords = regexp.MustCompile("(?i)(\\d+)(?: tokens)? (?:input tokens|in the messages|in (?:the|your) prompt|of text input|from the input messages|`inputs` tokens)")
)

// promptAndWindow reads a prompt's tokens and the window from an error; 0: it does not tell both.
func promptAndWindow(text string) (prompt, window int64) {
	text = strings.ReplaceAll(text, ",", "")
	if m := sumWords.FindStringSubmatch(text); m != nil {
		return count(m[1]), count(m[2])
	}
	w, p := windowWords.FindStringSubmatch(text), promptWords.FindStringSubmatch(text)
	if w == nil || p == nil {
		return 0, 0
	}
	return count(p[1]), count(w[1])
}

// leastRoom is how much output is worth another request: less is a prompt that is too long.
const leastRoom = 256

// roomFor is how many tokens of output fit beside a prompt, where an error tells that both together are too many; 0: not enough.
func roomFor(text string) int64 {
	if prompt, window := promptAndWindow(text); window-prompt >= leastRoom {
		return window - prompt
	}
	return 0
}

// numbers of tokens in a provider's sentence; what is part of a name is none.
var numbers = regexp.MustCompile(`(?:^|[^\w.-])(\d{3,9})(?:[^\w-]|$)`)

// tooLongBy reads how long a prompt is and how long it may be, as far as an error about that tells.
func tooLongBy(text string) (prompt, window int64) {
	if prompt, window = promptAndWindow(text); window > 0 {
		return prompt, window
	}
	found := numbers.FindAllStringSubmatch(strings.ReplaceAll(text, ",", ""), 2)
	switch len(found) {
	case 1:
		return 0, count(found[0][1])
	case 2:
		a, b := count(found[0][1]), count(found[1][1])
		return max(a, b), min(a, b)
	}
	return 0, 0
}

// count reads a number of tokens; 0: it is none.
func count(s string) int64 {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n > 1e12 {
		return 0
	}
	return n
}

// finishOf reads a reason in any of the words that servers use; cut: the reply broke off on their side.
// https://ai.google.dev/api/generate-content#FinishReason (which its compatible endpoint passes on, alone or after a colon)
// https://api-docs.deepseek.com/api/create-chat-completion https://docs.mistral.ai/api https://docs.vllm.ai/en/stable/api/vllm/outputs.html
func finishOf(reason string) (f Finish, cut bool) {
	word, _, _ := strings.Cut(strings.ToLower(reason), ":")
	switch strings.TrimPrefix(word, "image_") {
	case "length", "max_tokens", "model_length", "max_output_tokens":
		return Length, false
	case "content_filter", "safety", "recitation", "blocklist", "prohibited_content", "spii", "sensitive":
		return Filtered, false
	case "refusal":
		return Refused, false
	case "error", "abort", "insufficient_system_resource", "network_error":
		return "", true
	}
	return Stop, false
}
