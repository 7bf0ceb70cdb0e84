// Command coder serves nullius.coder.v1.CoderService alone.
package main

import (
	"nullius.dev/kit/app"
	"nullius.dev/kit/app/process"
	"nullius.dev/kit/fault"
	"nullius.dev/kit/llm"
	"nullius.dev/kit/sandbox"
	"nullius.dev/services/coder"
)

type config struct {
	process.Common `yaml:",inline"`
	coder.Config   `yaml:",inline"`
	Models         llm.Config     `yaml:"models"`
	Sandbox        sandbox.Config `yaml:"sandbox"`
}

func (c config) Validate() error { return c.Config.Validate() }

func main() {
	sandbox.Main()
	process.Main("coder", config{Common: process.DefaultCommon(), Config: coder.DefaultConfig(), Sandbox: sandbox.DefaultConfig()},
		func(c *config) *process.Common { return &c.Common }, attach)
}

func attach(h *app.Host, p process.Process, c config) error {
	door, err := llm.Attach(h, c.Models, "coder", p.Bus, p.Blobs)
	if err != nil {
		return err
	}
	box, err := sandbox.New(h.Context(), c.Sandbox, h.Log())
	if err != nil {
		return fault.Wrap(err, fault.KindOf(err), fault.ReasonOf(err), "syntax checks need the sandbox").WithNext(fault.NextOf(err))
	}
	return coder.Attach(h, p.Net, c.Config, coder.Shared{Models: door, Blobs: p.Blobs, Sandbox: box})
}
