package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// process reads what Linux tells of a running process. What cannot be read, since the process is ending, stays as it was.
type process struct {
	pid   int
	own   time.Duration // CPU of the process itself
	peak  int64         // resident bytes of the process itself, at most
	ended time.Duration // CPU of its children that have ended
}

// ticks a second in /proc/PID/stat, the same on every Linux that Go runs on.
const ticks = 100

// sample reads CPU and memory.
func (p *process) sample() {
	proc := "/proc/" + strconv.Itoa(p.pid)
	if stat, err := os.ReadFile(proc + "/stat"); err == nil {
		_, rest, _ := strings.Cut(string(stat), ") ")
		if v := strings.Fields(rest); len(v) > 14 {
			p.own, p.ended = used(v[11], v[12]), used(v[13], v[14])
		}
	}
	status, err := os.ReadFile(proc + "/status")
	if err != nil {
		return
	}
	for line := range strings.Lines(string(status)) {
		if v := strings.Fields(line); len(v) > 1 && v[0] == "VmHWM:" {
			kib, _ := strconv.ParseInt(v[1], 10, 64)
			p.peak = kib << 10
		}
	}
}

func used(user, system string) time.Duration {
	u, _ := strconv.ParseInt(user, 10, 64) // the kernel writes digits
	s, _ := strconv.ParseInt(system, 10, 64)
	return time.Duration(u+s) * (time.Second / ticks)
}

// busy tells whether an experiment or LaTeX runs below a process: a program within a sandbox, not the sandbox itself, which is Nullius's own cost, nor
// the short questions to Python (which modules there are, whether a template parses), which are too.
func (p *process) busy() bool { return busyBelow(p.pid, 0) }

func busyBelow(pid, depth int) bool {
	if depth > 6 {
		return false
	}
	tasks, _ := filepath.Glob("/proc/" + strconv.Itoa(pid) + "/task/*/children")
	for _, t := range tasks {
		b, err := os.ReadFile(t)
		if err != nil {
			continue
		}
		for _, f := range strings.Fields(string(b)) {
			child, err := strconv.Atoi(f)
			if err != nil {
				continue
			}
			if foreignProgram(child) || busyBelow(child, depth+1) {
				return true
			}
		}
	}
	return false
}

func foreignProgram(pid int) bool {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/cmdline")
	argv := bytes.Split(bytes.TrimRight(b, "\x00"), []byte{0})
	if err != nil || len(argv[0]) == 0 {
		return false
	}
	if len(argv) > 1 && (bytes.HasPrefix(argv[1], []byte("__nullius_sandbox")) || string(argv[1]) == "-c" || string(argv[1]) == "-I") {
		return false
	}
	switch filepath.Base(string(argv[0])) {
	case "bwrap", "nullius":
		return false
	}
	return true
}
