package main

import (
	"fmt"
	"sync"
)

// recorder keeps every file that was read, for a saved plan. It is safe for
// concurrent use, as evaluation is.
type recorder struct {
	from func(string) ([]byte, error)

	mu    sync.Mutex
	files map[string][]byte
}

func newRecorder(from func(string) ([]byte, error)) *recorder {
	return &recorder{from: from, files: map[string][]byte{}}
}

func (r *recorder) read(path string) ([]byte, error) {
	b, err := r.from(path)
	if err == nil {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.files[path] = b
	}
	return b, err
}

func (r *recorder) all() map[string][]byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.files
}

// replay reads the files of a saved plan, as they were.
func replay(files map[string][]byte) func(string) ([]byte, error) {
	return func(path string) ([]byte, error) {
		b, ok := files[path]
		if !ok {
			return nil, fmt.Errorf("%s is not among the files of the plan", path)
		}
		return b, nil
	}
}
