package coder

import (
	"path/filepath"

	"nullius.dev/kit/fault"
)

// Config of the coder.
type Config struct {
	Listen  string `yaml:"listen"`   // "inproc:coder" or an address
	WorkDir string `yaml:"work_dir"` // for checks; empty: the system's temporary folder
	Checks  int    `yaml:"checks"`   // syntax checks at a time
	Python  string `yaml:"python"`   // interpreter of the checks, as that of the executor; empty: the first that has a template's modules
	Limits  Limits `yaml:"limits"`
	Edits   Edits  `yaml:"edits"`
}

// Edits switches readings off that take an edit for something else than what it says. All are on by default; each has a counter.
type Edits struct {
	NoPartialLine       bool `yaml:"no_partial_line"`       // a part of a line is matched
	NoNear              bool `yaml:"no_near"`               // a few lines may be a little different
	NoAlreadyDone       bool `yaml:"no_already_done"`       // a block whose result is there already is no failure
	NoContentCorrection bool `yaml:"no_content_correction"` // a file that was not named, or wrongly, is found by its text
}

// DefaultConfig is what a service starts from.
func DefaultConfig() Config {
	return Config{
		Listen: "127.0.0.1:7002",
		Checks: 4,
		Limits: Limits{Calls: 5, FormatRetries: 2, SyntaxRetries: 2, EmptyRetries: 2, ReplyTokens: 8192},
	}
}

// Validate names the first field that cannot be.
func (c Config) Validate() error {
	bad := func(field, why string) error {
		return fault.New(fault.Invalid, "CONFIG_INVALID", "coder: %s %s", field, why).WithField(field, why)
	}
	switch l := c.Limits; {
	case c.Listen == "":
		return bad("listen", "is empty")
	case c.Python != "" && !filepath.IsAbs(c.Python):
		return bad("python", "is not an absolute path")
	case c.Checks < 1 || c.Checks > 64:
		return bad("checks", "must be 1 to 64")
	case l.Calls < 1 || l.Calls > 20:
		return bad("limits.calls", "must be 1 to 20")
	case l.FormatRetries < 0 || l.SyntaxRetries < 0 || l.EmptyRetries < 0:
		return bad("limits", "retries cannot be negative")
	case l.ReplyTokens < 256:
		return bad("limits.reply_tokens", "must be at least 256")
	}
	return nil
}
