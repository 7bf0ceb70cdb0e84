// Package sandbox runs programs that nobody vouches for: experiments and
// LaTeX written by a model.
//
// The wall is bubblewrap with every namespace unshared: no network, a root
// made of the interpreter and little else, and a real user id that owns
// nothing on the host. Limits come from a cgroup (version 2, else version 1),
// else from rlimits and a watchdog that sums proportional set sizes; which one
// held is stamped on every result.
//
// Inside, the first process of the sandbox is this binary once more (Main). It
// receives its orders over a socket, sets the remaining limits and the system
// call filter, starts the program as its child and reports that child's own
// wait status. Being process 1 it cannot be killed from inside, and its memory
// and descriptors are closed to its children, so neither the status nor a stop
// can be forged. The environment of a program never appears in an argument
// list or in the environment of another process.
//
// New attacks itself before it offers anything: a level whose wall does not
// hold is refused with SANDBOX_TOO_WEAK, never replaced by a weaker one.
//
// Every main, and every TestMain of a package that runs sandboxes, must call
// Main as its first statement.
package sandbox
