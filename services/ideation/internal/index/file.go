package index

import (
	"context"
	"errors"
	"os"
	"sync"
)

// File is a list that may be made after the program has started.
type File struct {
	path string

	mu   sync.Mutex
	open *Index
}

// NewFile names a list; it opens nothing.
func NewFile(path string) *File { return &File{path: path} }

// Get gives the open list; nil while there is no file.
func (f *File) Get(ctx context.Context) (*Index, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.open != nil {
		return f.open, nil
	}
	if _, err := os.Stat(f.path); errors.Is(err, os.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	x, err := Open(context.WithoutCancel(ctx), f.path) // it outlives the request
	if err != nil {
		return nil, err
	}
	f.open = x
	return x, nil
}

// Close closes the list, if it was opened.
func (f *File) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.open == nil {
		return nil
	}
	x := f.open
	f.open = nil
	return x.Close()
}
