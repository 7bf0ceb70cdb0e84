package main

import (
	"path/filepath"
	"strings"
	"testing"
)

// TestUsage_names_the_command whose arguments are wrong, how it is used and where its help is.
func TestUsage_names_the_command(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "missing")
	for name, tt := range map[string]struct {
		args []string
		code int
		says []string
	}{
		"no model":               {[]string{"models", "test"}, exitUsage, []string{"accepts 1 arg(s)", "usage: nullius models test NAME", "next: nullius help models test\n"}},
		"no words":               {[]string{"literature", "search"}, exitUsage, []string{"usage: nullius literature search WORDS…", "next: nullius help literature search\n"}},
		"no study":               {[]string{"cost"}, exitUsage, []string{"usage: nullius cost NAME", "next: nullius help cost\n"}},
		"a flag that is none":    {[]string{"ideas", "--fiel", "x"}, exitUsage, []string{"--fiel", "next: nullius help ideas\n"}},
		"a command that is none": {[]string{"litrature"}, exitUsage, []string{"unknown command", "literature", "next: nullius help\n"}},
		"no references":          {[]string{"literature", "resolve", "--bibtex", missing}, exitError, []string{"FILE_UNKNOWN: " + missing + " cannot be read: no such file", "next: nullius literature resolve --bibtex FILE"}},
		"no list":                {[]string{"literature", "import", missing}, exitError, []string{missing + " cannot be opened: no such file"}},
		"no such model":          {[]string{"models", "zzz"}, exitError, []string{`there is no model "zzz": want provider/model, as nullius models lists them`}},
		"a part of names":        {[]string{"models", "test", "claude"}, exitError, []string{"want a whole name; nullius models claude lists those that have it"}},
		"no such provider":       {[]string{"models", "test", "labor/x"}, exitError, []string{"no provider is called labor; nullius models lists them"}},
		"years the wrong way":    {[]string{"literature", "search", "x", "--engine", "local", "--from", "2030", "--to", "2019"}, exitError, []string{"year_from: wants a year that is not after year_to", "next: nullius help literature search"}},
		"no DOI":                 {[]string{"literature", "resolve", "--engine", "local", "--doi", "nope"}, exitError, []string{"doi is no DOI", "next: nullius help literature resolve"}},
		"a folder for a list":    {[]string{"literature", "import", "--index", filepath.Join(t.TempDir(), "x.sqlite"), filepath.Dir(missing)}, exitError, []string{"is a directory\nnext: nullius literature import FILE"}},
		"a list that is none":    {[]string{"list", "bananas"}, exitUsage, []string{`invalid argument "bananas"`, "usage: nullius list", "next: nullius help list\n"}},
		"a filter for templates": {[]string{"list", "templates", "--filter", "state=RUNNING"}, exitUsage, []string{"--filter is for studies and ideas"}},
		"no such subcommand":     {[]string{"template", "chekc"}, exitUsage, []string{`unknown command "chekc" for "nullius template"`, "next: nullius help template\n"}},
		"where to serve":         {[]string{"serve", "--address", "127.0.0.1:7711"}, exitUsage, []string{"--address is a server to talk to; serve --listen 127.0.0.1:7711"}},
		"no such shell":          {[]string{"completion", "tcsh"}, exitUsage, []string{`unknown command "tcsh" for "nullius completion"`}},
		"no such help":           {[]string{"help", "me"}, exitUsage, []string{"there is no command and no topic", "next: nullius help"}},
		"no such help below":     {[]string{"help", "template", "me"}, exitUsage, []string{"there is no command and no topic"}},
		"no such stage":          {[]string{"logs", "x", "--stage", "dreaming"}, exitUsage, []string{"--stage dreaming", "novelty, experiments"}},
		"less than no lines":     {[]string{"logs", "x", "--tail", "-1"}, exitUsage, []string{"--tail -1 is negative"}},
		"no such time":           {[]string{"events", "x", "--since", "noon"}, exitUsage, []string{"--since noon is neither a duration like 10m nor a time"}},
		"a time to come":         {[]string{"logs", "x", "--since", "-5m"}, exitUsage, []string{"--since -5m"}},
		"no such times":          {[]string{"list", "--time", "unix"}, exitUsage, []string{"relative and iso are known"}},
		"no such state":          {[]string{"wait", "x", "--for", "UNSPECIFIED"}, exitUsage, []string{"--for UNSPECIFIED is no state"}},
		"less than no time":      {[]string{"wait", "x", "--timeout", "-1s"}, exitUsage, []string{"--timeout -1s is negative"}},
		"nobody to ask":          {[]string{"reject", "x", "--no-input"}, exitUsage, []string{"give --yes"}},
		"no edit":                {[]string{"approve", "x", "--edit", missing}, exitError, []string{"FILE_UNKNOWN: " + missing, "next: "}},
		"nearly a model":         {[]string{"models", "test", "gtp-4o"}, exitError, []string{"the nearest name is gpt-4o"}},
	} {
		t.Run(name, func(t *testing.T) {
			code, out, errOut := nullius(t, tt.args...)
			for _, s := range tt.says {
				if !strings.Contains(errOut, s) {
					t.Errorf("%q is not in\n%s", s, errOut)
				}
			}
			if code != tt.code || out != "" {
				t.Errorf("exit code %d, want %d; %s", code, tt.code, out)
			}
		})
	}
}
