// Package sandbox runs programs that nobody vouches for: experiments and
// LaTeX written by a model.
//
// The wall is bubblewrap with every namespace unshared: no network, a root
// made of the interpreter and little else, and a real user id that owns
// nothing on the host. Limits come from a cgroup (version 2, else version 1),
// else from rlimits and a watchdog that sums proportional set sizes; which one
// held is stamped on every result. Where no cgroup tells who belongs to a run,
// a mark does that its processes inherit and cannot shed (mark.go).
//
// Inside, the first process of the sandbox is this binary once more (Main),
// started by a descriptor like bubblewrap, so that no file at a path decides
// what runs; the digests of both are in the probe's. It
// receives its orders over a socket, sets the remaining limits and the system
// call filter, starts the program as its child and reports that child's own
// wait status. Being process 1 it cannot be killed from inside, and its memory
// and descriptors are closed to its children, so neither the status nor a stop
// can be forged. The environment of a program never appears in an argument
// list or in the environment of another process.
//
// Where the operator allows it, and only there, the landlock level takes over
// on hosts without user namespaces: the same helper without bubblewrap, behind
// Landlock rules for paths, signals and abstract sockets, and a stricter system
// call filter that knows no network. What it leaves open: the names and command
// lines of the host's processes, and sockets with a path that everybody may
// connect to. There are no mounts, so paths in a run's command and environment
// are translated to where things lie. Where the program shares the user of its
// caller, sockets other than pairs are refused too (so multiprocessing's
// managers do not work), and calls that change a file's mode, times or other
// attributes succeed without doing anything.
//
// New attacks itself before it offers anything: a level whose wall does not
// hold is refused with SANDBOX_TOO_WEAK, never replaced by a weaker one.
//
// Every main, and every TestMain of a package that runs sandboxes, must call
// Main as its first statement.
package sandbox
