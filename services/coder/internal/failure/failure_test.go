package failure_test

import (
	"strings"
	"testing"

	"nullius.dev/services/coder/internal/failure"
)

func source(files map[string]string) func(string) []string {
	return func(p string) []string {
		s, ok := files[p]
		if !ok {
			return nil
		}
		return strings.Split(s, "\n")
	}
}

const program = "import numpy as np\n\ndef train(x, y):\n    return x + y\n\n\nprint(train(np.ones(3), np.ones(4)))\n"

const crash = `/usr/lib/python3/dist-packages/scipy/x.py:10: UserWarning: careful
/usr/lib/python3/dist-packages/scipy/x.py:11: UserWarning: careful
Traceback (most recent call last):
  File "/work/job-17/experiment.py", line 7, in <module>
    print(train(np.ones(3), np.ones(4)))
  File "/work/job-17/experiment.py", line 4, in train
    return x + y
           ~~^~~
  File "/usr/lib/python3/dist-packages/numpy/core.py", line 900, in add
    raise ValueError
ValueError: operands could not be broadcast together with shapes (3,) (4,)
`

func TestParse(t *testing.T) {
	files := source(map[string]string{"experiment.py": program})
	tests := []struct {
		name      string
		in        failure.Input
		signature string
		says      []string
		hides     []string
	}{
		{
			name:      "an exception names the project's frame with its code and counts library frames",
			in:        failure.Input{EndReason: "FAILED", ExitCode: 1, Stderr: []byte(crash), Stdout: []byte("step 1\nstep 2\n"), Source: files},
			signature: "ValueError|experiment.py|train|operands could not be broadcast together with shapes (#,) (#,)",
			says:      []string{"exit code 1", "experiment.py line 4, in train", ">     return x + y", "1 frames of libraries", "step 2"},
			hides:     []string{"job-17", "~~^~~"},
		},
		{
			name:      "a forged traceback does not explain a memory limit",
			in:        failure.Input{EndReason: "OOM", ExitCode: 137, Stderr: []byte(crash), Source: files},
			signature: "OOM|||",
			says:      []string{"more memory than it may"},
		},
		{
			name:      "a time limit names the limit and shows the last output without progress bars",
			in:        failure.Input{EndReason: "TIMEOUT", Stdout: []byte("10%\r20%\r\x1b[31m30%\x1b[0m\n"), TimeLimit: "10 minutes"},
			signature: "TIMEOUT|||",
			says:      []string{"time limit of 10 minutes", "30%"},
			hides:     []string{"10%", "\x1b"},
		},
		{
			name:      "missing keys are named and are part of the signature",
			in:        failure.Input{EndReason: "OUTPUT", Message: "final_info.json lacks noise_0.3", MissingKeys: []string{"noise_0.3/mse"}},
			signature: "OUTPUT|||final_info.json lacks noise_# missing noise_0.3/mse",
			says:      []string{"missing or has the wrong shape", "noise_0.3/mse"},
		},
		{
			name:      "a syntax error has a frame but no head",
			in:        failure.Input{EndReason: "FAILED", ExitCode: 1, Stderr: []byte("  File \"/w/experiment.py\", line 3\n    def train(x, y\n             ^\nSyntaxError: '(' was never closed\n"), Source: files},
			signature: "SyntaxError|experiment.py||'(' was never closed",
			says:      []string{"experiment.py line 3"},
		},
		{
			name: "a chain shows the last exception first and then its cause",
			in: failure.Input{EndReason: "FAILED", ExitCode: 1, Source: files, Stderr: []byte(
				"Traceback (most recent call last):\n  File \"experiment.py\", line 4, in train\n    x\nKeyError: 'a'\n\nDuring handling of the above exception, another exception occurred:\n\nTraceback (most recent call last):\n  File \"experiment.py\", line 7, in <module>\n    y\nRuntimeError: no data in /tmp/x/y 17\n")},
			signature: "RuntimeError|experiment.py|<module>|no data in / #",
			says:      []string{"RuntimeError", "KeyError: 'a'"},
		},
		{
			name: "a traceback of IPython 7, behind the title that it gives a terminal",
			in: failure.Input{EndReason: "FAILED", ExitCode: 1, Source: files, Stdout: []byte("\x1b[22;0t\x1b]0;IPython: job\x07---------------------------------------------------------------------------\n" +
				"ValueError                                Traceback (most recent call last)\n/work/job-17/experiment.py in <module>\n      5 \n      6 \n----> 7 print(train(np.ones(3), np.ones(4)))\n\n" +
				"/work/job-17/experiment.py in train(x, y)\n      2 \n      3 def train(x, y):\n----> 4     return x + y\n      5 \n      6 \n\nValueError: operands could not be broadcast\n")},
			signature: "ValueError|experiment.py|train|operands could not be broadcast",
			says:      []string{"experiment.py line 7, in <module>", "experiment.py line 4, in train"},
			hides:     []string{"job-17", "IPython"},
		},
		{
			name:      "no output at all is told as it is",
			in:        failure.Input{EndReason: "FAILED", ExitCode: 3},
			signature: "FAILED|||",
			says:      []string{"exit code 3"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := failure.Parse(tt.in)
			if f.Signature != tt.signature {
				t.Errorf("signature %q, want %q", f.Signature, tt.signature)
			}
			for _, s := range tt.says {
				if !strings.Contains(f.Text, s) {
					t.Errorf("the text lacks %q:\n%s", s, f.Text)
				}
			}
			for _, s := range tt.hides {
				if strings.Contains(f.Text, s) {
					t.Errorf("the text holds %q:\n%s", s, f.Text)
				}
			}
		})
	}
}

func TestParse_TextStaysSmall(t *testing.T) {
	huge := []byte(strings.Repeat(crash, 2000))
	f := failure.Parse(failure.Input{EndReason: "FAILED", Stderr: huge, Stdout: huge, Source: source(map[string]string{"experiment.py": program})})
	if len(f.Text) > 3010 {
		t.Errorf("%d bytes", len(f.Text))
	}
}

// A flood before the exception, of lines or of one line, hides it as little as what other streams say.
func TestParse_FindsTheExceptionBehindAFlood(t *testing.T) {
	files := source(map[string]string{"experiment.py": program})
	for name, flood := range map[string]string{
		"lines":        strings.Repeat("epoch 1 loss 0.25\n", 3_000_000),
		"one line":     strings.Repeat("0.25 ", 10_000_000) + "\n",
		"progress":     strings.Repeat("\rtrain:  40%|####      | 40/100", 1_000_000) + "\n",
		"bytes":        strings.Repeat("\xff\xfe\x00\x80", 10_000_000) + "\n",
		"half a frame": strings.Repeat("  File \"experiment.py\", line 4, in train\n", 1_000_000),
	} {
		f := failure.Parse(failure.Input{EndReason: "FAILED", ExitCode: 1, Stderr: []byte(flood + crash), Stdout: []byte(flood), Source: files})
		if f.Type != "ValueError" || f.File != "experiment.py" || f.Line != 4 || f.Function != "train" || len(f.Text) > 3000 || !strings.Contains(f.Text, "broadcast") {
			t.Errorf("%s: %s in %s line %d, %s:\n%s", name, f.Type, f.File, f.Line, f.Function, f.Text)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(crash), []byte("x\r\n"))
	f.Add([]byte("Traceback (most recent call last):"), []byte("  File \"a\", line 99999999999999999999, in b\nE: x"))
	for _, c := range outputs(f) {
		f.Add(raw(c.Stderr), raw(c.Stdout))
	}
	files := source(map[string]string{"experiment.py": program})
	f.Fuzz(func(t *testing.T, stderr, stdout []byte) {
		r := failure.Parse(failure.Input{Stderr: stderr, Stdout: stdout, Source: files})
		if len(r.Text) > 3010 {
			t.Errorf("%d bytes", len(r.Text))
		}
	})
}
