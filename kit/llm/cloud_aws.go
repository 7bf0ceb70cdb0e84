package llm

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/config"

	"nullius.dev/kit/fault"
)

const (
	awsToken = "AWS_BEARER_TOKEN_BEDROCK"
	awsNeeds = awsToken + ", AWS_ACCESS_KEY_ID with AWS_SECRET_ACCESS_KEY, an AWS profile or a role of this machine"
)

// aws signs requests to Bedrock: with a bearer token, with keys from the environment, else with what AWS's own chain finds
// (profiles, web identity, container and machine roles).
// https://docs.aws.amazon.com/bedrock/latest/userguide/api-keys-use.html
func (k *keyring) aws(m Model) (credential, error) {
	if token := k.read(awsToken); token != "" {
		return inHeader("", token), nil
	}
	p := k.awsProvider()
	if p == nil {
		return credential{}, fault.New(fault.Unauthenticated, "KEY_MISSING", "%s needs %s; %s has none of them", m.Name, awsNeeds, k.who).
			WithMeta("model", m.Name).WithMeta("variable", awsToken).WithNext("nullius doctor")
	}
	region := m.region
	return credential{id: "aws " + k.env("AWS_ACCESS_KEY_ID") + k.env("AWS_PROFILE"), sign: func(req *http.Request, body []byte) error {
		ctx, stop := context.WithTimeout(req.Context(), 15*time.Second)
		defer stop()
		c, err := p.Retrieve(ctx)
		if err != nil {
			return k.credentialFault(m, "the AWS credential chain", err)
		}
		k.remember(c.SecretAccessKey)
		k.remember(c.SessionToken)
		k.remember(c.AccessKeyID)
		return signAWS(req, body, c, region, time.Now().Add(k.clock()))
	}}, nil
}

// clock is how far AWS's clock is ahead of this machine's, as far as it was told.
func (k *keyring) clock() time.Duration {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.ahead
}

// setClock takes AWS's time over where a signature was refused for this machine's clock, and reports whether there is sense in another one. AWS takes
// signatures of five minutes: https://docs.aws.amazon.com/IAM/latest/UserGuide/signature-v4-troubleshooting.html
func (k *keyring) setClock(m Model, p problem) bool {
	if m.local.API != apiBedrock || !p.skewed {
		return false
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if (p.off - k.ahead).Abs() < time.Minute {
		return false
	}
	k.ahead = p.off
	return true
}

// signAWS signs a request by Signature Version 4 for the service bedrock.
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv.html
func signAWS(req *http.Request, body []byte, c aws.Credentials, region string, at time.Time) error {
	sum := sha256.Sum256(body)
	return v4.NewSigner().SignHTTP(req.Context(), c, req, hex.EncodeToString(sum[:]), "bedrock", region, at)
}

// awsProvider is nil where no credentials can be expected.
func (k *keyring) awsProvider() aws.CredentialsProvider {
	id, secret := k.env("AWS_ACCESS_KEY_ID"), k.read("AWS_SECRET_ACCESS_KEY")
	if id != "" && secret != "" {
		return aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: id, SecretAccessKey: secret, SessionToken: k.read("AWS_SESSION_TOKEN"), Source: "environment"}, nil
		})
	}
	if k.awsSource() == "" {
		return nil
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.chain == nil {
		k.chain = &awsChain{}
	}
	return k.chain
}

// awsChain loads AWS's own chain when it is first asked; what it found is renewed by it.
type awsChain struct {
	mu    sync.Mutex
	cache *aws.CredentialsCache
}

// Retrieve gives the chain's credentials.
func (c *awsChain) Retrieve(ctx context.Context) (aws.Credentials, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cache == nil {
		cfg, err := config.LoadDefaultConfig(ctx)
		if err != nil {
			return aws.Credentials{}, err
		}
		if cfg.Credentials == nil {
			return aws.Credentials{}, errors.New("the chain is empty")
		}
		c.cache = aws.NewCredentialsCache(cfg.Credentials)
	}
	return c.cache.Retrieve(ctx)
}

// awsSource names what AWS's chain would look at; empty: nothing is there. A machine of AWS, which may have a role, is told by
// its firmware, since asking would take seconds elsewhere.
// https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/identify_ec2_instances.html
func (k *keyring) awsSource() string {
	for _, name := range []string{"AWS_PROFILE", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI"} {
		if k.env(name) != "" {
			return name
		}
	}
	for name, file := range map[string]string{"AWS_SHARED_CREDENTIALS_FILE": "credentials", "AWS_CONFIG_FILE": "config"} {
		path := k.env(name)
		if home, err := os.UserHomeDir(); path == "" && err == nil {
			path = filepath.Join(home, ".aws", file)
		}
		if readable(path) {
			return "the AWS profile default"
		}
	}
	vendor, err := os.ReadFile("/sys/devices/virtual/dmi/id/sys_vendor")
	if err == nil && strings.Contains(string(vendor), "Amazon EC2") && !strings.EqualFold(k.env("AWS_EC2_METADATA_DISABLED"), "true") {
		return "the machine's role"
	}
	return ""
}

func (k *keyring) awsFrom() Key {
	if from := k.from(awsToken); from != "" {
		return Key{From: from}
	}
	if k.env("AWS_ACCESS_KEY_ID") != "" && k.from("AWS_SECRET_ACCESS_KEY") != "" {
		return Key{From: "AWS_ACCESS_KEY_ID"}
	}
	if from := k.awsSource(); from != "" {
		return Key{From: from}
	}
	return Key{Missing: awsNeeds}
}
