package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"nullius.dev/kit/fault"
	"nullius.dev/kit/store"
	"nullius.dev/kit/telemetry"
	gatewayv1 "nullius.dev/proto/gen/nullius/gateway/v1"
)

func (c *cli) fileCommands() []*cobra.Command {
	return []*cobra.Command{c.filesCommand(), c.openCommand(), c.diffCommand(), c.logsCommand(), c.eventsCommand(), c.traceCommand(), c.exportCommand()}
}

// withIdea runs f with the idea that a person named.
func (c *cli) withIdea(ctx context.Context, name string, f func(*client, ref) error) error {
	return c.with(ctx, func(cl *client) error {
		r, err := cl.find(ctx, name)
		if err != nil {
			return err
		}
		if r.idea == "" {
			return usage("%s is a study; name one of its ideas: %s/idea-1", r, r)
		}
		return f(cl, r)
	})
}

func (c *cli) filesCommand() *cobra.Command {
	var get, git string
	cmd := &cobra.Command{
		Use: "files IDEA [PATH]", Short: "List an idea's result files or those of a folder, print one, download all, or make a git repository of its steps", Args: cobra.RangeArgs(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx := cmd.Context()
			return c.withIdea(ctx, args[0], func(cl *client, r ref) error {
				switch {
				case git != "":
					return c.gitHistory(ctx, cl, r, git)
				case get != "":
					if _, err := os.Stat(get); err == nil {
						return usage("%s exists; nothing is overwritten", get)
					}
					if err := cl.download(ctx, r.name(), get); err != nil {
						return err
					}
					fmt.Fprintln(c.out, get)
					return nil
				}
				l, err := cl.ListFiles(ctx, &gatewayv1.ListFilesRequest{Parent: r.name(), PageSize: 1000})
				if err != nil {
					return err
				}
				if len(args) == 2 {
					folder := strings.TrimSuffix(args[1], "/") + "/"
					l.Files = slices.DeleteFunc(l.GetFiles(), func(f *gatewayv1.FileInfo) bool { return !strings.HasPrefix(f.GetPath(), folder) })
					if len(l.GetFiles()) == 0 {
						return cl.read(ctx, r.name()+"/files/"+args[1], c.out)
					}
				}
				return c.emit(l, func(w *tabwriter.Writer) {
					for _, f := range l.GetFiles() {
						fmt.Fprintf(w, "%d\t%s\n", f.GetSizeBytes(), clean(f.GetPath()))
					}
				})
			})
		},
	}
	cmd.Flags().StringVar(&get, "get", "", "download everything into this new folder")
	cmd.Flags().StringVar(&git, "git", "", "make this new folder a git repository with a commit for each step, the results last")
	return cmd
}

// read streams one file to w.
func (cl *client) read(ctx context.Context, name string, w io.Writer) error {
	s, err := cl.ReadFile(ctx, &gatewayv1.ReadFileRequest{Name: name})
	if err != nil {
		return err
	}
	for {
		m, err := s.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if _, err := w.Write(m.GetData()); err != nil {
			return err
		}
	}
}

// makeFolder makes a folder for the user, as private as the user's umask says.
func makeFolder(dir string) error {
	if _, err := os.Stat(dir); err == nil {
		return nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	return os.Chmod(dir, os.FileMode(0o777&^callersUmask))
}

// download writes the files of an idea or a template into a new folder, beneath it whatever their names are.
func (cl *client) download(ctx context.Context, parent, dir string) error {
	if err := makeFolder(dir); err != nil {
		return err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	for token := ""; ; {
		l, err := cl.ListFiles(ctx, &gatewayv1.ListFilesRequest{Parent: parent, PageSize: 1000, PageToken: token})
		if err != nil {
			return err
		}
		for _, f := range l.GetFiles() {
			if err := store.CheckPath(f.GetPath()); err != nil {
				return err
			}
			if d := filepath.Dir(f.GetPath()); d != "." {
				if err := root.MkdirAll(d, 0o755); err != nil {
					return err
				}
			}
			mode := os.FileMode(0o666)
			if f.GetExecutable() {
				mode = 0o777
			}
			w, err := root.OpenFile(f.GetPath(), os.O_RDWR|os.O_CREATE|os.O_TRUNC, mode)
			if err != nil {
				return err
			}
			if err := errors.Join(cl.read(ctx, parent+"/files/"+f.GetPath(), w), w.Close()); err != nil {
				return err
			}
		}
		if token = l.GetNextPageToken(); token == "" {
			return nil
		}
	}
}

func (c *cli) openCommand() *cobra.Command {
	return &cobra.Command{
		Use: "open IDEA", Short: "Open an idea's PDF", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx := cmd.Context()
			return c.withIdea(ctx, args[0], func(cl *client, r ref) error {
				got, err := cl.GetIdea(ctx, &gatewayv1.GetIdeaRequest{Name: r.name()})
				if err != nil {
					return err
				}
				p := got.GetIdea().GetImprovedPaper().GetPdfPath()
				if p == "" {
					p = got.GetIdea().GetPaper().GetPdfPath()
				}
				if p == "" {
					return fault.New(fault.NotFound, "FILE_UNKNOWN", "%s has no PDF yet", r).WithNext("nullius show " + r.String())
				}
				path := filepath.Join(os.TempDir(), strings.ReplaceAll(r.String(), "/", "-")+"-"+filepath.Base(p))
				f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_TRUNC, os.FileMode(0o666&^callersUmask))
				if err != nil {
					return err
				}
				if err := errors.Join(cl.read(ctx, r.name()+"/files/"+p, f), f.Close()); err != nil {
					return err
				}
				fmt.Fprintln(c.out, path)
				if viewer, err := exec.LookPath("xdg-open"); err == nil && os.Getenv("DISPLAY") != "" {
					return exec.CommandContext(ctx, viewer, path).Start()
				}
				return nil
			})
		},
	}
}

func (c *cli) traceCommand() *cobra.Command {
	return &cobra.Command{
		Use: "trace IDEA", Short: "Print an idea's spans as a tree", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx := cmd.Context()
			return c.withIdea(ctx, args[0], func(cl *client, r ref) error {
				var b bytes.Buffer
				if err := cl.read(ctx, r.name()+"/files/trace.jsonl", &b); err != nil {
					return err
				}
				if c.output != "table" {
					_, err := c.out.Write(b.Bytes())
					return err
				}
				return c.printTrace(b.Bytes())
			})
		},
	}
}

func (c *cli) printTrace(data []byte) error {
	var spans []telemetry.Span
	dec := json.NewDecoder(bytes.NewReader(data))
	for dec.More() {
		var s telemetry.Span
		if err := dec.Decode(&s); err != nil {
			return err
		}
		spans = append(spans, s)
	}
	known := map[string]bool{}
	children := map[string][]telemetry.Span{}
	for _, s := range spans {
		known[s.SpanID] = true
	}
	for _, s := range spans {
		parent := s.ParentID
		if !known[parent] {
			parent = ""
		}
		children[parent] = append(children[parent], s)
	}
	var walk func(id string, depth int)
	walk = func(id string, depth int) {
		for _, s := range children[id] {
			fmt.Fprintf(c.out, "%s%-*s %9.1f ms  %s", strings.Repeat("  ", depth), max(1, 70-2*depth), clean(s.Name), float64(s.End-s.Start)/1e6, s.Component)
			if s.Status == "error" {
				fmt.Fprint(c.out, "  ERROR ", clean(s.Message))
			}
			fmt.Fprintln(c.out)
			if s.SpanID != "" && depth < 50 {
				walk(s.SpanID, depth+1)
			}
		}
	}
	walk("", 0)
	return nil
}

func (c *cli) exportCommand() *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use: "export-recording STUDY", Short: "Write what a replay of a study needs, as a folder to read and review", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx := cmd.Context()
			return c.with(ctx, func(cl *client) error {
				r, err := cl.find(ctx, args[0])
				if err != nil {
					return err
				}
				if dir == "" {
					dir = r.study + "-recording"
				}
				return c.export(ctx, cl, ref{study: r.study}, dir)
			})
		},
	}
	cmd.Flags().StringVar(&dir, "dir", "", "folder to make (default STUDY-recording)")
	return cmd
}

func (c *cli) export(ctx context.Context, cl *client, r ref, dir string) error {
	if _, err := os.Stat(dir); err == nil {
		return usage("%s exists; nothing is overwritten", dir)
	}
	s, err := cl.ExportRecording(ctx, &gatewayv1.ExportRecordingRequest{Name: r.name()})
	if err != nil {
		return err
	}
	files := map[string]*bytes.Buffer{}
	current := ""
	for {
		m, err := s.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		for _, w := range m.GetWarnings() {
			fmt.Fprintln(c.err, "warning:", clean(w.GetText()))
		}
		if ch := m.GetChunk(); ch != nil {
			if ch.GetPath() != "" {
				current = ch.GetPath()
				files[current] = &bytes.Buffer{}
			}
			if b := files[current]; b != nil {
				b.Write(ch.GetData())
			}
		}
	}
	if err := makeFolder(dir); err != nil {
		return err
	}
	for path, b := range files {
		if err := store.CheckPath(path); err != nil {
			return err
		}
		full := filepath.Join(dir, filepath.FromSlash(path))
		if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(full, b.Bytes(), 0o644); err != nil {
			return err
		}
	}
	fmt.Fprintf(c.out, "%s: %d files\n", dir, len(files))
	return nil
}
