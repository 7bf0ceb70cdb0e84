package llm_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"

	"nullius.dev/kit/kittest/llmfault"
)

// checkSignature computes a request's Signature Version 4 anew, by the steps of
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
func checkSignature(t *testing.T, r llmfault.Request, host, id, secret, region string) {
	t.Helper()
	day := r.Header.Get("X-Amz-Date")[:8]
	scope := day + "/" + region + "/bedrock/aws4_request"
	auth := r.Header.Get("Authorization")
	rest, ok := strings.CutPrefix(auth, "AWS4-HMAC-SHA256 Credential="+id+"/"+scope+", SignedHeaders=")
	names, signature, ok2 := strings.Cut(rest, ", Signature=")
	if !ok || !ok2 {
		t.Fatalf("authorization is %q", auth)
	}
	signed := strings.Split(names, ";")
	for _, must := range []string{"host", "x-amz-date"} {
		if !slices.Contains(signed, must) {
			t.Errorf("%s is not signed", must)
		}
	}
	var headers strings.Builder
	for _, name := range signed {
		value := r.Header.Get(name)
		if name == "host" {
			value = host
		}
		if name == "content-length" {
			value = strconv.Itoa(len(r.Raw))
		}
		headers.WriteString(name + ":" + strings.TrimSpace(value) + "\n")
	}
	// Every part of the path is escaped twice, but for S3.
	parts := strings.Split(r.Path, "/")
	for i, p := range parts {
		parts[i] = strings.ReplaceAll(url.QueryEscape(url.QueryEscape(p)), "+", "%20")
	}
	hash := func(s string) string {
		sum := sha256.Sum256([]byte(s))
		return hex.EncodeToString(sum[:])
	}
	canonical := strings.Join([]string{"POST", strings.Join(parts, "/"), "", headers.String(), names, hash(r.Raw)}, "\n")
	text := strings.Join([]string{"AWS4-HMAC-SHA256", r.Header.Get("X-Amz-Date"), scope, hash(canonical)}, "\n")
	key := []byte("AWS4" + secret)
	for _, s := range []string{day, region, "bedrock", "aws4_request", text} {
		m := hmac.New(sha256.New, key)
		m.Write([]byte(s))
		key = m.Sum(nil)
	}
	if want := hex.EncodeToString(key); signature != want {
		t.Errorf("signature is %s, want %s of\n%s", signature, want, canonical)
	}
}
