package llm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/google"

	"nullius.dev/kit/fault"
)

const (
	googleFile  = "GOOGLE_APPLICATION_CREDENTIALS"
	googleScope = "https://www.googleapis.com/auth/cloud-platform"
	googleNeeds = googleFile + ", or the application default credentials that gcloud writes"
)

// googleProjects are the variables that may name a project, the first one first.
var googleProjects = []string{"ANTHROPIC_VERTEX_PROJECT_ID", "VERTEXAI_PROJECT", "GOOGLE_CLOUD_PROJECT"}

// google authorizes requests to Vertex AI by an OAuth token: of a service account's signed assertion, of a user's refresh
// token, of another identity, or of the machine.
// https://cloud.google.com/docs/authentication/application-default-credentials
func (k *keyring) google(m Model) (credential, error) {
	path, own := k.googlePath()
	if path == "" && !onGoogle() {
		return credential{}, fault.New(fault.Unauthenticated, "KEY_MISSING", "%s needs %s; %s has neither", m.Name, googleNeeds, k.who).
			WithMeta("model", m.Name).WithMeta("variable", googleFile).WithNext("nullius doctor")
	}
	project := ""
	for _, name := range googleProjects {
		if project = k.env(name); project != "" {
			break
		}
	}
	if path != "" {
		var file struct {
			Project string `json:"project_id"`
			Quota   string `json:"quota_project_id"`
			Refresh string `json:"refresh_token"`
			Secret  string `json:"client_secret"`
			KeyID   string `json:"private_key_id"`
		}
		data, err := os.ReadFile(path)
		if err == nil {
			err = json.Unmarshal(data, &file)
		}
		if err != nil && own {
			return credential{}, fault.New(fault.Unauthenticated, "KEY_MISSING", "%s: the file that %s names cannot be used: %s", m.Name, googleFile, reasonOf(err)).
				WithMeta("model", m.Name).WithNext("nullius doctor")
		}
		for _, secret := range []string{file.Refresh, file.Secret, file.KeyID} { // the service of tokens may echo them
			k.remember(secret)
		}
		for _, p := range []string{file.Project, file.Quota} {
			if project == "" {
				project = p
			}
		}
	}
	if project == "" {
		return credential{}, fault.New(fault.Unauthenticated, "KEY_MISSING", "%s needs a project: %s; %s has none", m.Name, strings.Join(googleProjects, ", "), k.who).
			WithMeta("model", m.Name).WithMeta("variable", googleProjects[0]).WithNext("nullius doctor")
	}
	return credential{id: "google " + path + project, project: project, sign: func(req *http.Request, _ []byte) error {
		token, err := k.googleToken(req.Context(), path)
		if err != nil {
			return k.googleFault(m, err)
		}
		k.remember(token.AccessToken)
		token.SetAuthHeader(req)
		return nil
	}}, nil
}

// googlePath is the file with credentials, and whether the operator named it.
func (k *keyring) googlePath() (path string, own bool) {
	if path := k.env(googleFile); path != "" {
		return path, true
	}
	dir, err := os.UserConfigDir()
	if d := k.env("CLOUDSDK_CONFIG"); d != "" {
		dir, err = d, nil
	} else {
		dir = filepath.Join(dir, "gcloud")
	}
	if path := filepath.Join(dir, "application_default_credentials.json"); err == nil && readable(path) {
		return path, false
	}
	return "", false
}

// onGoogle tells a machine of Google's cloud by its firmware, without asking the network.
func onGoogle() bool {
	name, err := os.ReadFile("/sys/class/dmi/id/product_name")
	return err == nil && strings.Contains(string(name), "Google Compute Engine") || os.Getenv("K_SERVICE") != ""
}

// googleToken gives a token that holds for a while; it is asked for when the last one ends.
func (k *keyring) googleToken(ctx context.Context, path string) (*oauth2.Token, error) {
	k.mu.Lock()
	source := k.tokens[path]
	k.mu.Unlock()
	if source == nil {
		// The source outlives the request that makes it.
		ctx := context.WithValue(context.WithoutCancel(ctx), oauth2.HTTPClient, &http.Client{Transport: k.base, Timeout: 15 * time.Second})
		c, err := googleCredentials(ctx, path)
		if err != nil {
			return nil, err
		}
		source = c.TokenSource
		k.mu.Lock()
		k.tokens[path] = source
		k.mu.Unlock()
	}
	return source.Token()
}

func googleCredentials(ctx context.Context, path string) (*google.Credentials, error) {
	if path == "" {
		return google.FindDefaultCredentials(ctx, googleScope)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var file struct {
		Type google.CredentialsType `json:"type"`
	}
	if err := json.Unmarshal(data, &file); err != nil {
		return nil, err
	}
	return google.CredentialsFromJSONWithType(ctx, data, file.Type, googleScope)
}

// googleFault tells a token that was refused from one that could not be asked for.
func (k *keyring) googleFault(m Model, err error) error {
	var said *oauth2.RetrieveError
	if !errors.As(err, &said) {
		if web := (*url.Error)(nil); errors.As(err, &web) {
			return &outageError{"cannot be reached: Google's service of tokens does not answer"}
		}
		return k.credentialFault(m, googleFile, errors.New(reasonOf(err)))
	}
	if said.Response != nil && (said.Response.StatusCode >= 500 || said.Response.StatusCode == http.StatusTooManyRequests) {
		return &outageError{fmt.Sprintf("cannot be reached: Google's service of tokens answered %d", said.Response.StatusCode)}
	}
	// https://www.rfc-editor.org/rfc/rfc6749#section-5.2
	var body struct {
		Code string `json:"error"`
		Text string `json:"error_description"`
	}
	_ = json.Unmarshal(said.Body, &body) // what else it may be says less than the status
	what := strings.TrimSpace(body.Code + " " + body.Text)
	if what == "" && said.Response != nil {
		what = fmt.Sprint(said.Response.StatusCode)
	}
	return k.credentialFault(m, "Google's token service", errors.New(what))
}

func (k *keyring) googleFrom() Key {
	path, own := k.googlePath()
	switch {
	case own && !readable(path):
		return Key{Missing: "the file that " + googleFile + " names", Broken: true}
	case own:
		return Key{From: googleFile}
	case path != "":
		return Key{From: "gcloud's application default credentials"}
	case onGoogle():
		return Key{From: "the machine's service account"}
	}
	return Key{Missing: googleNeeds}
}
