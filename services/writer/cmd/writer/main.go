// Command writer serves nullius.writer.v1.WriterService alone.
package main

import (
	"nullius.dev/kit/app"
	"nullius.dev/kit/app/process"
	"nullius.dev/kit/fault"
	"nullius.dev/kit/llm"
	"nullius.dev/kit/sandbox"
	"nullius.dev/services/writer"
)

type config struct {
	process.Common `yaml:",inline"`
	writer.Config  `yaml:",inline"`
	Models         llm.Config     `yaml:"models"`
	Sandbox        sandbox.Config `yaml:"sandbox"`
}

func (c config) Validate() error { return c.Config.Validate() }

func main() {
	sandbox.Main()
	process.Main("writer", config{Common: process.DefaultCommon(), Config: writer.DefaultConfig(), Sandbox: sandbox.DefaultConfig()},
		func(c *config) *process.Common { return &c.Common }, attach)
}

func attach(h *app.Host, p process.Process, c config) error {
	door, err := llm.Attach(h, c.Models, "writer", p.Bus, p.Blobs)
	if err != nil {
		return err
	}
	box, err := sandbox.New(h.Context(), c.Sandbox, h.Log())
	if err != nil {
		return fault.Wrap(err, fault.KindOf(err), fault.ReasonOf(err), "LaTeX needs the sandbox").WithNext(fault.NextOf(err))
	}
	return writer.Attach(h, p.Net, c.Config, writer.Shared{Models: door, Blobs: p.Blobs, Sandbox: box})
}
