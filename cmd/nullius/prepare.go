package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"nullius.dev/gateway/template"
	"nullius.dev/kit/fault"
)

// prepareCommand gets what a template needs beside its files: Debian's packages and data.
func (c *cli) prepareCommand() *cobra.Command {
	var size string
	var install bool
	cmd := &cobra.Command{
		Use: "prepare DIR|NAME", Short: "Get a template's data and look at its packages", Args: cobra.ExactArgs(1),
		Long: "Downloads the data that template.yaml declares, checks its SHA-256, and runs the template's prepare script in the sandbox, without network.\nWhat is there already is left alone. Debian packages that are missing are named, and with --install installed.",
		RunE: func(cmd *cobra.Command, args []string) error { return c.prepare(cmd.Context(), args[0], size, install) },
	}
	cmd.Flags().StringVar(&size, "size", "", "only data that studies of this size read: smoke, lite or full")
	cmd.Flags().BoolVar(&install, "install", false, "install missing Debian packages, as root or with sudo")
	return cmd
}

func (c *cli) prepare(ctx context.Context, arg, size string, install bool) error {
	src, err := c.findSource(ctx, arg)
	if err != nil {
		return err
	}
	defer func() { _ = src.remove() }()
	dir, name := src.dir, src.name
	t, findings := template.Load(os.DirFS(dir), template.Options{Name: name, Size: size})
	if t == nil {
		return src.refusal(template.Errors(findings))
	}
	if err := c.debian(ctx, t.Debian, install); err != nil {
		return err
	}
	box, err := openSandbox(ctx, newLogger("error"))
	if err != nil {
		return err
	}
	defer func() { _ = box.Close() }()
	if t.Python.Requirements != "" {
		fmt.Fprintf(c.out, "packages: the executor installs those of %s before a study's first run; nullius template check %s --run tries them\n", t.Python.Requirements, shellWord(arg))
	} else {
		python, err := box.FindPython(ctx, "", t.Python.Modules)
		if err != nil {
			return err
		}
		modules := "no module beside Python's own is needed"
		if len(t.Python.Modules) > 0 {
			modules = "imports " + strings.Join(t.Python.Modules, ", ")
		}
		fmt.Fprintf(c.out, "python: %s %s: %s\n", python.Path, python.Version, modules)
	}
	made, err := template.Lab{Runner: box, Finder: box}.Prepare(ctx, dir, t, size, downloads())
	for _, file := range made {
		fmt.Fprintf(c.out, "data: %s\n", file)
	}
	if err := errors.Join(err, c.keepMade(ctx, arg, src, made)); err != nil {
		return err
	}
	fmt.Fprintf(c.out, "%s is prepared. next: nullius template baseline %s\n", name, shellWord(arg))
	return nil
}

// downloads is a client that asks no address other than by TLS, and gives up when nothing comes.
func downloads() *http.Client {
	t := http.DefaultTransport.(*http.Transport).Clone() // it is one, unless this process changed it
	t.ResponseHeaderTimeout = 30 * time.Second
	return &http.Client{Transport: t, CheckRedirect: func(req *http.Request, via []*http.Request) error {
		if req.URL.Scheme != "https" || len(via) >= 10 {
			return fmt.Errorf("it leads to %s://%s", req.URL.Scheme, req.URL.Host)
		}
		return nil
	}}
}

// keepMade keeps data where the commands that come find it: a folder has it already, that of a bundled template lies beside the data folder, and to a template of
// the server it is uploaded.
func (c *cli) keepMade(ctx context.Context, arg string, src source, made []string) error {
	if digest, ok := bundledDigest(src.name); src.bundled && ok {
		return keepPrepared(src.dir, digest, made)
	}
	if isFolder(arg) || len(made) == 0 {
		return nil
	}
	return c.with(ctx, func(cl *client) error {
		_, err := cl.upload(ctx, src)
		return err
	})
}

// keepPrepared keeps data of a bundled template, which has no folder of its own, for the commands that come.
func keepPrepared(dir, digest string, made []string) error {
	to := cacheFolder("data", digest)
	for _, name := range made {
		at := filepath.Join(to, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
			return unkept(err)
		}
		data, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(name)))
		if err != nil {
			return unkept(err)
		}
		if err := writeWhole(at, data); err != nil {
			return unkept(err)
		}
	}
	return nil
}

func unkept(err error) error {
	return fault.Wrap(err, fault.Precondition, "STORAGE_UNUSABLE", "what was made of the template cannot be kept: %v", err)
}

// writeWhole writes a file under another name first, so that no half of one is found.
func writeWhole(path string, data []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".part-*")
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	err = errors.Join(err, f.Chmod(0o644), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name()) // the first error tells more
	}
	return err
}

// debian looks for Debian packages; where dpkg is missing, the modules are looked for all the same.
func (c *cli) debian(ctx context.Context, packages []string, install bool) error {
	var missing []string
	for _, p := range packages {
		out, err := exec.CommandContext(ctx, "dpkg-query", "-W", "-f", "${db:Status-Status}", p).Output()
		if errors.Is(err, exec.ErrNotFound) {
			fmt.Fprintln(c.out, "debian: there is no dpkg here; install what the modules need by other means")
			return nil
		}
		if err != nil || string(out) != "installed" {
			missing = append(missing, p)
		}
	}
	command := append([]string{"apt-get", "install", "-y", "--no-install-recommends"}, missing...)
	switch {
	case len(missing) == 0:
		return nil
	case os.Geteuid() != 0:
		command = append([]string{"sudo"}, command...)
	}
	if !install {
		fmt.Fprintf(c.out, "debian: missing %s\n  next: nullius template prepare --install, or %s\n", strings.Join(missing, ", "), strings.Join(command, " "))
		return nil
	}
	err := c.asRoot(ctx, command)
	if err != nil && ctx.Err() == nil { // a fresh machine has no lists of packages, or old ones
		at := slices.Index(command, "apt-get") + 1
		if err = c.asRoot(ctx, append(slices.Clone(command[:at]), "update")); err == nil {
			err = c.asRoot(ctx, command)
		}
	}
	if err != nil {
		return fault.Wrap(err, fault.Precondition, "TOOL_MISSING", "%s were not installed: %v", strings.Join(missing, ", "), err).
			WithNext(strings.Join(command, " "))
	}
	return nil
}

// asRoot runs a command of the package manager, said before, on the user's terminal: sudo may ask.
func (c *cli) asRoot(ctx context.Context, command []string) error {
	fmt.Fprintln(c.err, strings.Join(command, " "))
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, c.err, c.err
	return cmd.Run()
}

// blasCheck looks at which library numpy and torch of Debian multiply with; the reference one is about 13 times slower. It says nothing where there is none.
func blasCheck(alternatives string) (check, bool) {
	links, err := filepath.Glob(filepath.Join(alternatives, "libblas.so.3-*"))
	if err != nil || len(links) == 0 {
		return check{}, false
	}
	target, err := os.Readlink(links[0])
	if err != nil {
		return check{}, false
	}
	k := check{Name: "BLAS", State: "ok", Text: target}
	if filepath.Base(filepath.Dir(target)) == "blas" { // the folder of Debian's libblas3, the reference
		k.State, k.Text = "warning", target+" is the reference library: numpy and torch of Debian are about 13 times slower with it"
		k.Remedy = "apt-get install libopenblas0-pthread"
	}
	return k, true
}
