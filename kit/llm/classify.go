package llm

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// class is what the door does about a failed try.
type class uint8

const (
	outage   class = iota // wait, try again; counts for the circuit
	limit                 // wait, try again, with less at a time
	credit                // no money left: nothing to try
	refusal               // 401, 403
	absent                // 404
	adapt                 // a parameter is not taken: leave it out
	tooLong               // a reply
	filtered              // a reply
	rejected              // whatever else is wrong with the request
	closed                // connection refused, certificate: an outage with one more try
)

// problem is a failed try, classified. Its text is the provider's, scrubbed.
type problem struct {
	class  class
	cause  string // RATE_LIMIT OUTAGE TIMEOUT CREDIT TLS REFUSED
	status int
	text   string
	param  string
	most   int64         // tokens of output that the model allows, as it said
	wait   time.Duration // as the provider asked
	asked  bool
	never  bool          // x-should-retry: false
	paid   bool          // possibly
	keyed  bool          // a key was sent
	skewed bool          // a signature is refused for its time
	stale  bool          // a credential is refused for its age
	off    time.Duration // how far the provider's clock is ahead of this one; 0: about equal, or not told
	said   string
}

// providerError is the body of an error in one of the shapes that providers send.
type providerError struct {
	message, kind, code, param string
	status                     int
	retry                      time.Duration
}

func readError(body []byte) providerError {
	body = bytes.TrimSpace(body)
	if len(body) == 0 {
		return providerError{}
	}
	if looksLikeHTML(body) {
		return providerError{message: "an HTML page" + title(body)}
	}
	var v any
	if json.Unmarshal(body, &v) != nil {
		return providerError{message: string(body[:min(len(body), 2000)])}
	}
	if a, ok := v.([]any); ok && len(a) > 0 {
		v = a[0]
	}
	m, ok := v.(map[string]any)
	if !ok {
		s, _ := v.(string)
		return providerError{message: s}
	}
	var e providerError
	switch inner := m["error"].(type) {
	case map[string]any:
		m = inner
	case string:
		e.message = inner
	}
	if e.message == "" {
		e.message = text(m["message"])
	}
	for _, k := range []string{"Message", "detail"} { // AWS writes either, FastAPI the other
		if e.message == "" {
			e.message = text(m[k])
		}
	}
	e.kind, e.code, e.param = text(m["type"]), text(m["code"]), text(m["param"])
	if e.kind == "" {
		e.kind = text(m["status"]) // Google's RESOURCE_EXHAUSTED
	}
	if n, err := strconv.Atoi(e.code); err == nil && n >= 400 && n < 600 {
		e.status = n
	} else {
		e.status = statusOfKind[strings.ToLower(e.kind)]
	}
	e.retry = retryDelay(m["details"])
	return e
}

// statusOfKind gives the status of errors that come within a 200, by their type: Claude's and Bedrock's.
// https://platform.claude.com/docs/en/api/errors
// https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ResponseStream.html
var statusOfKind = map[string]int{
	"invalid_request_error": 400, "authentication_error": 401, "billing_error": 402, "permission_error": 403, "not_found_error": 404,
	"request_too_large": 413, "rate_limit_error": 429, "api_error": 500, "timeout_error": 504, "overloaded_error": 529,
	"validationexception": 400, "accessdeniedexception": 403, "resourcenotfoundexception": 404, "modeltimeoutexception": 408,
	"throttlingexception": 429, "servicequotaexceededexception": 429, "modelnotreadyexception": 429,
	"modelerrorexception": 500, "modelstreamerrorexception": 500, "internalserverexception": 500, "serviceunavailableexception": 503,
}

func text(v any) string {
	switch t := v.(type) {
	case string:
		return t
	case float64:
		return strconv.FormatFloat(t, 'f', -1, 64)
	case nil:
		return ""
	}
	b, _ := json.Marshal(v)
	return string(b)
}

// retryDelay finds Google's RetryInfo.
func retryDelay(v any) time.Duration {
	list, _ := v.([]any)
	for _, it := range list {
		m, _ := it.(map[string]any)
		s, _ := m["retryDelay"].(string)
		if d, err := time.ParseDuration(s); err == nil && d > 0 {
			return d
		}
	}
	return 0
}

var (
	creditWords  = regexp.MustCompile(`(?i)insufficient_quota|enforced_spend_limit|credit|billing|spend(ing)? limit|current quota|insufficient (balance|funds)`) // "your credit balance is too low" is Claude's
	limitWords   = regexp.MustCompile(`(?i)slow down|throttl|rate.?limit|too many requests`)
	contextWords = regexp.MustCompile(`(?i)context_length_exceeded|exceed_context_size|maximum context length|context (size|window|length)|prompt is too long|too many (input )?tokens|input is too long|string_above_max_length`)
	filterWords  = regexp.MustCompile(`(?i)content_filter|content management policy|content_policy|responsible ai policy|content filtering policy|input was flagged`)
	keyWords     = regexp.MustCompile(`API_KEY_INVALID|API key not valid`)
	absentWords  = regexp.MustCompile(`(?i)model identifier is invalid|model_not_found|DeploymentNotFound`) // Bedrock says 400
	skewWords    = regexp.MustCompile(`(?i)signature (expired|not yet current)|RequestTimeTooSkewed|InvalidSignatureException`)
	staleWords   = regexp.MustCompile(`(?i)ExpiredToken|token included in the request is expired`)
	prefillWords = regexp.MustCompile(`(?i)assistant message prefill`)
	paramWords   = regexp.MustCompile(`\b(max_completion_tokens|max_tokens|temperature|seed|stop_sequences|stop|response_format|json_schema|stream_options|reasoning_effort|prompt_cache_key|usage|output_config|cache_control|prefill)\b`)
)

// classifyStatus reads an answer that is no reply.
func classifyStatus(e *statusError, now time.Time) problem {
	pe := readError(e.body)
	p := problem{status: e.status, text: pe.message, cause: "OUTAGE", paid: e.inside}
	if pe.status != 0 && e.status == http.StatusOK {
		p.status = pe.status
	}
	p.wait, p.asked = askedWait(e.header, now)
	if pe.retry > p.wait {
		p.wait, p.asked = pe.retry, true
	}
	p.never = strings.EqualFold(e.header.Get("x-should-retry"), "false")
	all := pe.code + " " + pe.kind + " " + pe.message + " " + e.header.Get("x-amzn-errortype")
	p.off, p.skewed, p.stale = clockOff(e.header, now), skewWords.MatchString(all), staleWords.MatchString(all)
	hard := strings.Contains(all, "insufficient_quota") || strings.Contains(all, "enforced_spend_limit")
	money := creditWords.MatchString(all) && (hard || !p.asked)
	switch s := p.status; {
	case s == 402 && !p.asked, (s == 429 || s == 400 || s == 200) && money:
		p.class, p.cause = credit, "CREDIT"
	case s == 429, s == 402:
		p.class, p.cause = limit, "RATE_LIMIT"
	case s == 403 && filterWords.MatchString(all): // OpenRouter's moderation
		p.class = filtered
	case s == 401, s == 403, s == 400 && keyWords.MatchString(string(e.body)): // Gemini says 400
		p.class = refusal
	case s == 404, s == 400 && absentWords.MatchString(all):
		p.class = absent
	case s == 413, (s == 400 || s == 422 || s == 500 || s == 200) && contextWords.MatchString(all):
		p.class = tooLong
	case (s == 400 || s == 200) && filterWords.MatchString(all):
		p.class = filtered
	case (s == 400 || s == 503 || s == 200) && limitWords.MatchString(all):
		p.class, p.cause = limit, "RATE_LIMIT"
	case s == 408, s == 409, s == 424, s >= 500, s == 200: // 424: Bedrock's model failed
		p.class = outage
	case s == 400 || s == 422:
		p.class, p.param = rejected, paramOf(pe)
		if prefillWords.MatchString(pe.message) {
			p.param = "prefill"
		}
		if p.most = mostOf(pe); p.most > 0 {
			p.param = "max_output"
		}
		if p.param != "" {
			p.class = adapt
		}
	case s >= 300 && s < 400:
		p.class, p.text = rejected, "a redirect, which is not followed"
	default:
		p.class = rejected
	}
	return p
}

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
	n, err := strconv.ParseInt(m[1], 10, 64)
	if err != nil {
		return 0
	}
	return n
}

func paramOf(e providerError) string {
	if m := paramWords.FindString(e.param); m != "" {
		return m
	}
	return paramWords.FindString(e.message)
}

// classifyError reads what went wrong on the way.
func classifyError(err error, sent bool, now time.Time) problem {
	var status *statusError
	if errors.As(err, &status) {
		return classifyStatus(status, now)
	}
	p := problem{class: outage, cause: "OUTAGE", paid: sent}
	var hang *hangError
	var garbage *garbageError
	var beside *outageError
	var dns *net.DNSError
	var cert *tls.CertificateVerificationError
	switch {
	case errors.As(err, &hang):
		p.cause, p.said = "TIMEOUT", fmt.Sprintf("sent nothing for %s", human(hang.after))
	case errors.Is(err, context.DeadlineExceeded):
		p.cause, p.said = "TIMEOUT", "did not end its answer in time"
	case errors.As(err, &beside):
		p.said, p.paid = beside.said, false
	case errors.As(err, &garbage):
		p.said = "answered with " + garbage.what
	case errors.Is(err, syscall.ECONNREFUSED):
		p.class, p.cause, p.paid = closed, "REFUSED", false
	case errors.As(err, &cert):
		p.class, p.cause, p.text, p.paid = closed, "TLS", cert.Err.Error(), false
	case errors.As(err, &dns):
		p.paid, p.said = false, fmt.Sprintf("cannot be found: no address for %s", dns.Name)
	case isTLS(err):
		p.class, p.cause, p.text, p.paid = closed, "TLS", err.Error(), false
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF), errors.Is(err, syscall.ECONNRESET), sent:
		p.said = "broke its stream off"
	default:
		p.said = "cannot be reached"
	}
	return p
}

func isTLS(err error) bool {
	var rec tls.RecordHeaderError
	var alert tls.AlertError
	return errors.As(err, &rec) || errors.As(err, &alert) || strings.Contains(err.Error(), "tls: ")
}

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
	for _, what := range []string{"requests", "tokens"} {
		if h.Get("x-ratelimit-remaining-"+what) != "0" {
			continue
		}
		if d, err := time.ParseDuration(h.Get("x-ratelimit-reset-" + what)); err == nil && d > longest {
			longest = d
		}
	}
	return longest, longest > 0
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
	if h.Get("x-ratelimit-remaining") == "0" { // OpenRouter gives milliseconds since 1970
		if ms, err := strconv.ParseInt(h.Get("x-ratelimit-reset"), 10, 64); err == nil && ms > 1e12 && ms < 1e14 {
			longest = max(longest, time.UnixMilli(ms).Sub(now))
		}
	}
	return longest
}

// clockOff is how far the clock of who answered is ahead; less than a minute is none.
func clockOff(h http.Header, now time.Time) time.Duration {
	d, err := http.ParseTime(h.Get("Date"))
	if off := d.Sub(now); err == nil && off.Abs() >= time.Minute {
		return off.Round(time.Second)
	}
	return 0
}

func looksLikeHTML(b []byte) bool {
	head := strings.ToLower(string(b[:min(len(b), 200)]))
	return strings.HasPrefix(head, "<!doctype html") || strings.HasPrefix(head, "<html") || strings.HasPrefix(head, "<") && strings.Contains(head, "<head")
}

var titleTag = regexp.MustCompile(`(?is)<title>(.{1,120}?)</title>`)

// title is a page's title, in front of which a colon stands.
func title(b []byte) string {
	if m := titleTag.FindSubmatch(b[:min(len(b), 8<<10)]); m != nil {
		return ": " + oneLine(string(m[1]))
	}
	return ""
}

// human writes a duration as people do: 42 s, 3 min.
func human(d time.Duration) string {
	switch {
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	case d < 3*time.Minute:
		return fmt.Sprintf("%d s", int(d.Round(time.Second).Seconds()))
	}
	return fmt.Sprintf("%d min", int(d.Round(time.Minute).Minutes()))
}
