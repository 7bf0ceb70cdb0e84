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
	prompt int64         // tokens of a prompt that is too long, as it said; 0: it did not
	window int64         // how many it may have, with the output where a request is sent again
	wait   time.Duration // as the provider asked
	asked  bool
	never  bool          // x-should-retry: false
	paid   bool          // possibly
	keyed  bool          // a key was sent
	cert   bool          // of TLS: the certificate is at fault
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
	header                     http.Header // of whom it came from
}

func readError(body []byte) providerError {
	body = bytes.TrimSpace(bytes.TrimPrefix(body, []byte(byteOrderMark)))
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
	e.header = headersOf(m["metadata"])
	if prompt, window := text(m["n_prompt_tokens"]), text(m["n_ctx"]); count(window) > 0 { // llama.cpp's
		e.message += fmt.Sprintf(" (%s tokens of %s)", prompt, window)
	}
	return e
}

// headersOf finds the headers of whom OpenRouter asked, as it passes them on: https://openrouter.ai/docs/api-reference/limits
func headersOf(v any) http.Header {
	m, _ := v.(map[string]any)
	all, _ := m["headers"].(map[string]any)
	h := http.Header{}
	for k, v := range all {
		h.Set(k, text(v))
	}
	return h
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

// classifyStatus reads an answer that is no reply.
func classifyStatus(e *statusError, now time.Time) problem {
	pe := readError(e.body)
	p := problem{status: e.status, text: pe.message, cause: "OUTAGE", paid: e.inside}
	if pe.status != 0 && e.status == http.StatusOK {
		p.status = pe.status
	}
	p.wait, p.asked = askedWait(e.header, now)
	if len(pe.header) > 0 {
		pe.header.Set("Date", e.header.Get("Date"))
		wait, _ := askedWait(pe.header, now)
		pe.retry = max(pe.retry, wait)
	}
	if pe.retry > p.wait {
		p.wait, p.asked = pe.retry, true
	}
	if wait := saidWait(pe.message); wait > 0 && !p.asked && p.status == http.StatusTooManyRequests {
		p.wait, p.asked = wait, true
	}
	p.never = strings.EqualFold(e.header.Get("x-should-retry"), "false")
	all := pe.code + " " + pe.kind + " " + pe.message + " " + e.header.Get("x-amzn-errortype")
	p.off, p.skewed, p.stale = clockOff(e.header, now), skewWords.MatchString(all), staleWords.MatchString(all)
	money := creditWords.MatchString(all) && !p.asked && !rateWords.MatchString(pe.code+" "+pe.message) || spentWords.MatchString(all)
	p.prompt, p.window = tooLongBy(pe.message)
	switch s := p.status; {
	case s == 402 && !p.asked, (s == 429 || s == 400 || s == 200) && money:
		p.class, p.cause = credit, "CREDIT"
	case s == 429 && largeWords.MatchString(pe.message):
		p.class = tooLong
	case s == 429, s == 402:
		p.class, p.cause = limit, "RATE_LIMIT"
	case s == 403 && filterWords.MatchString(all): // OpenRouter's moderation
		p.class = filtered
	case s == 401, s == 403, s == 400 && keyWords.MatchString(string(e.body)): // Gemini and xAI say 400
		p.class = refusal
	case s == 404, (s == 400 || s == 422) && absentWords.MatchString(all):
		p.class = absent
	case (s == 400 || s == 422) && roomFor(pe.message) > 0:
		p.class, p.param = adapt, "context"
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
		p.class, p.cause, p.text, p.paid, p.cert = closed, "TLS", cert.Err.Error(), false, true
	case errors.As(err, &dns):
		p.paid, p.said = false, fmt.Sprintf("cannot be found: no address for %s", dns.Name)
	case isTLS(err):
		p.class, p.cause, p.text, p.paid = closed, "TLS", err.Error(), false
	case strings.Contains(err.Error(), "proxyconnect"), strings.Contains(err.Error(), "Proxy Authentication Required"):
		p.paid, p.said = false, "cannot be reached through the proxy that HTTPS_PROXY or HTTP_PROXY names"
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
