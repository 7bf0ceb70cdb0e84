package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"

	"github.com/spf13/cobra"

	"nullius.dev/kit/fault"
)

// Exit codes, as `nullius help exit-codes` lists them.
const (
	exitDone        = 0
	exitError       = 1
	exitUsage       = 2
	exitUnwanted    = 3 // ended without the wanted result
	exitAuth        = 4
	exitWaiting     = 5 // approval or budget needed
	exitTimeout     = 6 // of wait
	exitUnreachable = 7
	exitPreflight   = 8
	exitInterrupted = 130
)

// exit is an error that only carries a code: what there is to say was said.
type exit int

func (e exit) Error() string { return fmt.Sprintf("exit code %d", int(e)) }

// cli is what all commands share.
type cli struct {
	out, err io.Writer
	address  string
	dataDir  string
	output   string
	logLevel string
	logAsked bool // logLevel is the user's, not the default
	yes      bool
	noted    map[string]bool // what note has said
	noInput  bool
	times    string
	grpcurl  *grpcurl  // nil: calls are made, not printed
	stopping sync.Once // tells of an orderly stop
}

func execute(ctx context.Context, args []string, out, errOut io.Writer) int {
	c := &cli{out: out, err: errOut}
	root := c.root()
	root.SetArgs(args)
	root.SetOut(out)
	root.SetErr(errOut)
	cmd, err := root.ExecuteContextC(ctx)
	if g := c.grpcurl; g != nil {
		if g.stopped() {
			return exitDone
		}
		if err == nil && len(g.told) == 0 {
			fmt.Fprintf(errOut, "%s makes no call\n", cmd.CommandPath())
		}
	}
	return c.report(cmd, err)
}

func (c *cli) root() *cobra.Command {
	root := &cobra.Command{
		Use: "nullius", Short: "Machine-made research that can be checked: every number leads back to the run that measured it",
		SilenceErrors: true, SilenceUsage: true,
	}
	f := root.PersistentFlags()
	f.StringVar(&c.address, "address", envOr("NULLIUS_ADDRESS", "127.0.0.1:7700"), "server to talk to")
	f.StringVar(&c.dataDir, "data-dir", envOr("NULLIUS_DATA_DIR", ""), "data folder of a server in this process (default $XDG_DATA_HOME/nullius)")
	f.StringVarP(&c.output, "output", "o", envOr("NULLIUS_OUTPUT", "table"), "table, json or jsonl")
	f.StringVar(&c.logLevel, "log-level", os.Getenv("NULLIUS_LOG_LEVEL"), "debug, info, warn or error (default warn; error beside the output of run and demo, whose services log to nullius.log in the data folder)")
	f.StringVar(&c.times, "time", "relative", "times in tables: relative or iso")
	f.BoolVar(&c.noInput, "no-input", false, "never ask; what would ask needs --yes")
	printGrpcurl := f.Bool("print-grpcurl", false, "print the grpcurl commands of the calls instead of results; nothing is changed")
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usage("%v", err) })
	root.PersistentPreRunE = func(*cobra.Command, []string) error {
		switch c.output {
		case "table", "json", "jsonl":
		default:
			return usage("-o %s: table, json and jsonl are known", c.output)
		}
		if c.times != "relative" && c.times != "iso" {
			return usage("--time %s: relative and iso are known", c.times)
		}
		if *printGrpcurl {
			c.grpcurl = &grpcurl{out: c.out, address: c.address}
			c.out = io.Discard
		}
		if c.logAsked = c.logLevel != ""; !c.logAsked {
			c.logLevel = "warn"
		}
		switch c.logLevel {
		case "debug", "info", "warn", "error":
			return nil
		}
		return usage("--log-level %s: debug, info, warn and error are known", c.logLevel)
	}
	root.AddCommand(c.runCommand(), c.demoCommand(), c.serveCommand(), c.doctorCommand(), c.versionCommand(), c.apiCommand(), c.configCommand(), c.reviewCommand(), c.templateCommand(), c.modelsCommand(), c.literatureCommand(), c.ideasCommand())
	root.AddCommand(c.showCommands()...)
	root.AddCommand(c.fileCommands()...)
	root.AddCommand(c.actCommands()...)
	root.AddCommand(c.helpTopics()...)
	strict(root)
	return root
}

func envOr(key, otherwise string) string {
	if v := os.Getenv(key); v != "" {
		return v
	}
	return otherwise
}

// usageError is wrong usage of the command line.
type usageError struct{ error }

func usage(format string, a ...any) error { return usageError{fmt.Errorf(format, a...)} }

// report prints an error of a command and gives its exit code.
func (c *cli) report(cmd *cobra.Command, err error) int {
	var code exit
	switch {
	case err == nil:
		return exitDone
	case errors.As(err, &code):
		return int(code)
	case errors.Is(err, context.Canceled):
		return exitInterrupted
	}
	if u := (usageError{}); errors.As(err, &u) || strings.HasPrefix(err.Error(), "unknown command") {
		next := "nullius help"
		if cmd != nil && cmd.HasParent() {
			fmt.Fprintf(c.err, "nullius: %v\nusage: %s\n", err, cmd.UseLine())
			next += strings.TrimPrefix(cmd.CommandPath(), "nullius")
		} else {
			fmt.Fprintf(c.err, "nullius: %v\n", err)
		}
		fmt.Fprintln(c.err, "next:", next)
		return exitUsage
	}
	c.printFault(err)
	return exitOf(err)
}

func exitOf(err error) int {
	switch {
	case errors.Is(err, fault.Unauthenticated), errors.Is(err, fault.Denied):
		return exitAuth
	case fault.ReasonOf(err) == "UNREACHABLE":
		return exitUnreachable
	case fault.ReasonOf(err) == "PREFLIGHT_FAILED", fault.ReasonOf(err) == "MODEL_UNPRICED", fault.ReasonOf(err) == "SANDBOX_TOO_WEAK":
		return exitPreflight
	}
	return exitError
}

// printFault prints reason, sentence, violations and the next command.
func (c *cli) printFault(err error) {
	f, ok := fault.As(err)
	if !ok {
		fmt.Fprintln(c.err, "nullius:", err)
		return
	}
	head := "nullius"
	if f.Reason != "" {
		head += ": " + f.Reason
	}
	fmt.Fprintf(c.err, "%s: %s\n", head, f.Message)
	for _, v := range f.Violations {
		fmt.Fprintf(c.err, "  %s: %s\n", v.Field, v.Description)
	}
	if f.Next != "" {
		fmt.Fprintln(c.err, "next:", f.Next)
	}
}

func (c *cli) helpTopics() []*cobra.Command {
	topic := func(name, short, long string) *cobra.Command {
		return &cobra.Command{Use: name, Short: short, Long: long}
	}
	return []*cobra.Command{
		topic("exit-codes", "What exit codes mean", `Exit codes:
  0    done, or the condition was met
  1    any other error
  2    wrong usage
  3    ended without the wanted result: no idea SUCCEEDED, or --exit-status and a negative outcome
  4    authentication missing or refused
  5    WAITING: approval or budget needed
  6    wait timed out
  7    server unreachable
  8    preflight found an error
  130  Ctrl-C
nullius api: 64 + gRPC code.`),
		topic("environment", "Variables that are read", `Variables:
  NULLIUS_ADDRESS, NULLIUS_DATA_DIR, NULLIUS_OUTPUT, NULLIUS_LOG_LEVEL   defaults of the flags of the same name
  NULLIUS_<SERVICE>_<FIELD>                                             one field of a service's configuration; nullius config view SERVICE lists them
  NULLIUS_CONFIG                                                        configuration file of a service in a process of its own
  OPENAI_API_KEY, AZURE_OPENAI_API_KEY, ANTHROPIC_API_KEY, DEEPSEEK_API_KEY, OPENROUTER_API_KEY, GEMINI_API_KEY, OPENAI_COMPATIBLE_API_KEY,
  AWS_BEARER_TOKEN_BEDROCK, S2_API_KEY, OPENALEX_API_KEY                keys, each also as …_FILE; read by services that call models or engines only
  AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_PROFILE, AWS_REGION …   Bedrock, as AWS's own tools read them
  GOOGLE_APPLICATION_CREDENTIALS, ANTHROPIC_VERTEX_PROJECT_ID, CLOUD_ML_REGION
                                                                        Vertex AI
  AZURE_OPENAI_ENDPOINT                                                 the address of an Azure OpenAI resource
  OPENAI_BASE_URL, ANTHROPIC_BASE_URL                                   other addresses of these two
  NULLIUS_MODELS_FILE                                                   providers, models and prices of your own; docs/models.md
  OLLAMA_HOST                                                           where ollama/… models are served
  OTEL_EXPORTER_OTLP_ENDPOINT                                           where traces go beside nullius trace`),
		topic("formats", "Output formats", `-o table  for people
-o json   the API's JSON, one document
-o jsonl  the API's JSON, one object a line: of a list its items, of a stream its messages`),
	}
}
