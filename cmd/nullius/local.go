package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/dynamicpb"

	"nullius.dev/kit/app"
	"nullius.dev/kit/app/process"
	"nullius.dev/kit/fault"
	"nullius.dev/kit/natsd"
	"nullius.dev/kit/sandbox"
	gatewayv1 "nullius.dev/proto/gen/nullius/gateway/v1"
)

func (c *cli) versionCommand() *cobra.Command {
	return &cobra.Command{Use: "version", Short: "Print the version", Args: cobra.NoArgs, Run: func(*cobra.Command, []string) {
		fmt.Fprintln(c.out, "nullius", app.Version())
	}}
}

// serveNATSCommand runs the broker alone, with the settings that the suite needs, for services in processes of their own.
func (c *cli) serveNATSCommand() *cobra.Command {
	var listen string
	cmd := &cobra.Command{
		Use: "nats", Short: "Serve the broker alone", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, release := c.untilSignal(cmd.Context(), true)
			defer release()
			dir := c.dataDir
			if dir == "" {
				dir = process.DefaultDataDir()
			}
			s, err := natsd.Start(natsd.Config{Dir: dir, Listen: listen, Log: newLogger(c.logLevel)})
			if err != nil {
				return err
			}
			fmt.Fprintf(c.err, "broker on %s, data in %s\n", s.URL(), dir)
			<-ctx.Done()
			return s.Stop()
		},
	}
	cmd.Flags().StringVar(&listen, "listen", "127.0.0.1:4222", "HOST:PORT")
	return cmd
}

// check is one line of doctor.
type check struct {
	Name   string `json:"name"`
	State  string `json:"state"` // ok, warning, error
	Text   string `json:"text"`
	Remedy string `json:"remedy,omitempty"`
}

func (c *cli) doctorCommand() *cobra.Command {
	return &cobra.Command{
		Use: "doctor [TEMPLATE]", Short: "Check tools, keys, disk, sandbox and a template before money is spent", Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			checks := c.diagnose(cmd.Context(), args)
			bad := false
			for _, k := range checks {
				bad = bad || k.State == "error"
			}
			if c.output != "table" {
				if err := json.NewEncoder(c.out).Encode(checks); err != nil {
					return err
				}
			} else {
				w := tabwriter.NewWriter(c.out, 0, 4, 2, ' ', 0)
				for _, k := range checks {
					fmt.Fprintf(w, "%s\t%s\t%s\n", k.State, k.Name, k.Text)
					if k.Remedy != "" {
						fmt.Fprintf(w, "\t\t→ %s\n", k.Remedy)
					}
				}
				if err := w.Flush(); err != nil {
					return err
				}
			}
			if bad {
				return exit(exitPreflight)
			}
			return nil
		},
	}
}

func (c *cli) diagnose(ctx context.Context, args []string) []check {
	var out []check
	tool := func(name, remedy string) {
		k := check{Name: name, State: "ok", Text: sandbox.Program(name)}
		if k.Text == "" {
			k.State, k.Text, k.Remedy = "warning", "not found", remedy
		}
		out = append(out, k)
	}
	tool("pdflatex", "apt-get install texlive-latex-base texlive-latex-recommended texlive-fonts-recommended texlive-latex-extra texlive-science; without it papers stay .tex")
	tool("bibtex", "comes with texlive-binaries")
	tool("pdftotext", "apt-get install poppler-utils; needed to review PDFs")
	b, err := openSandbox(ctx, newLogger("error"))
	box := isolationChecks(ctx, b, err)
	if err == nil {
		if p, err := b.FindPython(ctx, "", []string{"numpy", "matplotlib"}); err != nil {
			out = append(out, check{Name: "python", State: "warning", Text: err.Error(), Remedy: "apt-get install python3-numpy python3-matplotlib libopenblas0-pthread"})
		} else {
			out = append(out, check{Name: "python", State: "ok", Text: p.Path})
		}
		_ = b.Close()
	}
	out = append(out, box...)
	if k, ok := blasCheck("/etc/alternatives"); ok {
		out = append(out, k)
	}
	out = append(out, c.dataCheck())
	out = append(out, c.keyChecks(ctx)...)
	if len(args) == 1 {
		out = append(out, c.templateChecks(ctx, args[0])...)
	}
	return out
}

func (c *cli) dataCheck() check {
	dir := c.dataDir
	if dir == "" {
		dir = process.DefaultDataDir()
	}
	k := check{Name: "data folder", State: "ok", Text: dir}
	lock, err := natsd.Lock(dir)
	switch {
	case fault.ReasonOf(err) == "DATA_DIR_LOCKED":
		k.Text = dir + ": a server uses it"
	case err != nil:
		k.State, k.Text, k.Remedy = "error", err.Error(), fault.NextOf(err)
	default:
		_ = lock.Close()
	}
	return k
}

// apiCommand calls any method of the public API with JSON.
func (c *cli) apiCommand() *cobra.Command {
	var data string
	cmd := &cobra.Command{
		Use: "api METHOD", Short: "Call any method of the API with JSON", Args: cobra.ExactArgs(1),
		Example: "  nullius api GetStudy -d '{\"name\":\"studies/double_descent-1\"}'\n  nullius api nullius.executor.v1.ExecutorService/ListNodes",
		RunE: func(cmd *cobra.Command, args []string) error {
			m, err := method(args[0])
			if err != nil {
				return err
			}
			body := []byte(data)
			if data == "@-" {
				if body, err = io.ReadAll(io.LimitReader(os.Stdin, 8<<20)); err != nil {
					return err
				}
			}
			if c.grpcurl != nil { // without a server, and as the user wrote it
				return c.grpcurl.print(fmt.Sprintf("%s/%s", m.Parent().FullName(), m.Name()), string(body), true)
			}
			return c.with(cmd.Context(), func(cl *client) error { return c.call(cmd.Context(), cl, m, body) })
		},
	}
	cmd.Flags().StringVarP(&data, "data", "d", "{}", "request as JSON; @- reads it from stdin")
	return cmd
}

// method finds a method by its name alone (StudyService's) or as SERVICE/METHOD.
func method(name string) (protoreflect.MethodDescriptor, error) {
	full := strings.ReplaceAll(strings.TrimPrefix(name, "/"), "/", ".")
	if !strings.Contains(full, ".") {
		full = "nullius.gateway.v1.StudyService." + full
	}
	_ = gatewayv1.File_nullius_gateway_v1_study_proto // links the descriptors
	d, err := protoregistry.GlobalFiles.FindDescriptorByName(protoreflect.FullName(full))
	m, ok := d.(protoreflect.MethodDescriptor)
	if err != nil || !ok {
		return nil, usage("no method %s", name)
	}
	if m.IsStreamingClient() {
		return nil, usage("%s takes a stream of requests; use the command that uploads", name)
	}
	return m, nil
}

func (c *cli) call(ctx context.Context, cl *client, m protoreflect.MethodDescriptor, body []byte) error {
	req := dynamicpb.NewMessage(m.Input())
	if err := protojson.Unmarshal(body, req); err != nil {
		return usage("the request is not JSON of %s: %v", m.Input().Name(), err)
	}
	s, err := cl.conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: m.IsStreamingServer()}, "/"+string(m.Parent().FullName())+"/"+string(m.Name()))
	if err == nil {
		err = errors.Join(s.SendMsg(req), s.CloseSend())
	}
	for err == nil {
		resp := dynamicpb.NewMessage(m.Output())
		if err = s.RecvMsg(resp); err == nil {
			_, err = fmt.Fprintln(c.out, format(resp, m.IsStreamingServer()))
			if !m.IsStreamingServer() {
				return err
			}
		}
	}
	if errors.Is(err, io.EOF) {
		return nil
	}
	c.printFault(err)
	return exit(64 + int(codeOf(err)))
}

func format(m proto.Message, line bool) string {
	return protojson.MarshalOptions{Multiline: !line}.Format(m)
}

func codeOf(err error) codes.Code { return status.Code(fault.ToStatus(err)) }
