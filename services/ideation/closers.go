package ideation

import "errors"

// closers close what was opened, the last one first.
type closers []func() error

func (c closers) close() error {
	var errs []error
	for i := len(c) - 1; i >= 0; i-- {
		errs = append(errs, c[i]())
	}
	return errors.Join(errs...)
}

// after closes because of an error, and gives it back.
func (c closers) after(err error) error { return errors.Join(err, c.close()) }
