package llm

import (
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"time"

	"nullius.dev/kit/fault"
)

// failure turns the last try's problem into the fault that the caller gets.
func failure(m Model, o Origin, p problem, tries int) error {
	host := m.BaseURL
	if u, err := url.Parse(m.BaseURL); err == nil {
		host = u.Scheme + "://" + u.Host
	}
	test := "nullius models test " + m.Name
	switch p.class {
	case refusal:
		if p.status != 403 {
			if m.Provider == compatible && !p.keyed {
				return fault.New(fault.Unauthenticated, "KEY_REFUSED",
					"%s wants a key (401%s); OPENAI_COMPATIBLE_API_KEY goes to the hosts of NULLIUS_COMPATIBLE_HOSTS only", m.Title, colon(p.text)).
					WithMeta("model", m.Name).WithNext("nullius doctor")
			}
			keyVar := m.KeyVar
			if m.Provider == compatible {
				keyVar = m.local.Key
			}
			if keyVar == "" {
				return fault.New(fault.Unauthenticated, "KEY_REFUSED", "%s wants a key (401%s)", m.Title, colon(p.text)).
					WithMeta("model", m.Name).WithNext("nullius doctor")
			}
			return fault.New(fault.Unauthenticated, "KEY_REFUSED", "%s refused the key from %s (%d)", m.Title, keyVar, p.status).
				WithMeta("model", m.Name).WithNext(test)
		}
		if p.skewed {
			p.text += "; is this machine's clock right?"
		}
		return fault.New(fault.Denied, "KEY_REFUSED", "%s does not let this key use %s (403%s)", m.Title, m.wire, colon(p.text)).
			WithMeta("model", m.Name).WithNext(test)
	case absent:
		retired := ""
		if m.Retired != "" {
			retired = "; retired " + m.Retired
			if m.Successor != "" {
				retired += ", its successor is " + m.Successor
			}
		}
		return fault.New(fault.NotFound, "MODEL_UNKNOWN", "%s has no model %s (%d)%s%s", m.Title, m.wire, p.status, retired, absentHint(m, p.text)).
			WithMeta("model", m.Name).WithMeta("said", p.text).WithNext("nullius models")
	case rejected, adapt:
		return fault.New(fault.Precondition, "PROVIDER_REJECTED", "%s rejected the request (%d%s)", m.Title, p.status, colon(p.text)).
			WithMeta("model", m.Name).WithNext(test)
	}
	sentence, next := unavailable(m, o, p, tries, host)
	retry := p.wait
	if retry <= 0 {
		retry = time.Minute
	}
	return fault.New(fault.Unavailable, "PROVIDER_UNAVAILABLE", "%s", sentence).WithMeta("provider", m.Provider).
		WithMeta("model", m.Name).WithMeta("cause", p.cause).WithRetry(retry).WithNext(next)
}

var (
	plainlyAbsent = regexp.MustCompile(`(?i)\b(models?|deployment)\b|not[ _]found|not exist`) // says no more than that
	noSuchPage    = regexp.MustCompile(`(?i)^(404 )?((page|resource) )?not found\.?$|^an HTML page`)
)

// absentHint says what may be wrong where a server has no model, or no such page, and what it says of its own.
func absentHint(m Model, said string) string {
	u, err := url.Parse(m.BaseURL)
	switch {
	case m.Provider == "azure" && noSuchPage.MatchString(said):
		return "; is AZURE_OPENAI_ENDPOINT the address of the resource?"
	case m.Provider == "ollama":
		return "; ollama pull " + m.wire + " fetches it"
	case err == nil && m.Provider != "deepseek" && m.local.API == apiOpenAI && noSuchPage.MatchString(said) && !strings.Contains(u.Path, "/v"):
		return "; does its address end in /v1 ?"
	case said != "" && m.Retired == "" && !plainlyAbsent.MatchString(said):
		return "; it says: " + said
	}
	return ""
}

func unavailable(m Model, o Origin, p problem, tries int, host string) (sentence, next string) {
	next = "nullius status"
	often := ""
	if tries > 1 {
		often = fmt.Sprintf(", %d times", tries)
	}
	paid := ""
	if p.paid {
		paid, next = " (possibly paid)", "nullius cost "+ideaName(o)
	}
	switch {
	case p.cause == "CREDIT":
		return fmt.Sprintf("%s says this account has no credit left; after a top-up the idea goes on", m.Title), next
	case p.cause == "RATE_LIMIT" && p.wait > 0 && tries <= 1:
		return fmt.Sprintf("%s limits this key and asks to wait %s; the idea goes on by itself", m.Title, human(p.wait)), next
	case p.cause == "RATE_LIMIT":
		return fmt.Sprintf("%s keeps limiting this key; the idea goes on by itself", m.Title), next
	case p.cause == "REFUSED":
		if start := m.local.Start; start != "" {
			return fmt.Sprintf("nothing listens at %s", host), start
		}
		return fmt.Sprintf("nothing listens at %s", host), "nullius doctor"
	case p.cause == "TLS" && strings.Contains(p.text, "does not look like a TLS handshake"):
		return fmt.Sprintf("%s does not speak TLS; does its address begin with http:// ?", host), "nullius doctor"
	case p.cause == "TLS" && !p.cert:
		return fmt.Sprintf("%s and this machine agree on no TLS%s", host, colon(p.text)), "nullius doctor"
	case p.cause == "TLS":
		return fmt.Sprintf("the certificate of %s is not trusted%s", host, colon(p.text)), "nullius doctor"
	case p.said != "":
		return fmt.Sprintf("%s %s%s%s; the idea goes on by itself", m.Title, p.said, often, paid), next
	case p.status == 529 || p.status == 503:
		return fmt.Sprintf("%s is overloaded (%d, %d tr%s); the idea goes on by itself", m.Title, p.status, tries, ies(tries)), next
	}
	if p.status == 200 { // an error within the answer that names no other
		return fmt.Sprintf("%s fails (%d tr%s%s)%s; the idea goes on by itself", m.Title, tries, ies(tries), colon(p.text), paid), next
	}
	return fmt.Sprintf("%s fails (%d, %d tr%s%s)%s; the idea goes on by itself", m.Title, p.status, tries, ies(tries), colon(p.text), paid), next
}

func ies(n int) string {
	if n == 1 {
		return "y"
	}
	return "ies"
}

func colon(text string) string {
	if text == "" {
		return ""
	}
	return ": " + text
}

// waiting is the sentence of a wait within the door.
func waiting(m Model, p problem, wait time.Duration, try, tries int) string {
	why := "it fails"
	if p.class == closed { // which is tried once more only
		tries = 2
	}
	switch {
	case p.cause == "RATE_LIMIT":
		why = "rate limit"
	case p.cause == "REFUSED":
		why = "nothing listens there"
	case p.cause == "TLS":
		if why = "its certificate is not trusted"; !p.cert {
			why = "no TLS is agreed on"
		}
	case p.said != "":
		why = "it " + p.said
	case p.status != 0:
		why = fmt.Sprintf("it answered %d", p.status)
	}
	if p.asked {
		return fmt.Sprintf("Waiting for %s: %s, %s as it asked.", m.Title, why, human(wait))
	}
	return fmt.Sprintf("Waiting for %s: %s, %s, try %d of %d.", m.Title, why, human(wait), try, tries)
}
