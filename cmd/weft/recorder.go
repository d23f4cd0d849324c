package main

import (
	"fmt"
	"maps"
	"strings"
	"sync"

	"weft/engine/control/run"
)

// recorder keeps what a configuration was made of, for a saved plan. It is safe
// for concurrent use, as evaluation is.
type recorder struct {
	from inputs

	mu          sync.Mutex
	files       map[string][]byte
	environment map[string]string // by variable
	answers     []string          // name=value
}

func newRecorder(from inputs) *recorder {
	return &recorder{from: from, files: map[string][]byte{}, environment: map[string]string{}}
}

// inputs are those it listens to.
func (r *recorder) inputs() inputs {
	in := inputs{read: r.read, environment: r.lookup}
	if r.from.ask != nil {
		in.ask = r.ask
	}
	return in
}

func (r *recorder) read(path string) ([]byte, error) {
	b, err := r.from.read(path)
	if err == nil {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.files[path] = b
	}
	return b, err
}

func (r *recorder) lookup(name string) (string, bool) {
	value, ok := r.from.environment(name)
	if variable, is := strings.CutPrefix(name, variablePrefix); is && ok {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.environment[variable] = value
	}
	return value, ok
}

func (r *recorder) ask(name string, sensitive bool) (string, error) {
	answer, err := r.from.ask(name, sensitive)
	if err == nil {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.answers = append(r.answers, name+"="+answer)
	}
	return answer, err
}

// variablePrefix begins the names of variables in the environment.
const variablePrefix = "WEFT_VAR_"

// secretless is what can be written down: files, flags and the environment
// without the values of sensitive variables.
func (r *recorder) secretless(p sensitive, vars, varFiles []string) (files map[string][]byte, flags []string, environment map[string]string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	files = maps.Clone(r.files)
	for _, path := range varFiles {
		files[path] = p.Insensitive(path, files[path])
	}
	for _, v := range append(r.answers, vars...) {
		if name, _, _ := strings.Cut(v, "="); !p.Sensitive(name) {
			flags = append(flags, v)
		}
	}
	environment = maps.Clone(r.environment)
	maps.DeleteFunc(environment, func(name, _ string) bool { return p.Sensitive(name) })
	return files, flags, environment
}

// sensitive knows which variables must not be written down.
type sensitive interface {
	Sensitive(name string) bool
	Insensitive(path string, src []byte) []byte
}

// replay are the inputs of a saved plan, as they were, and what it does not
// hold from where it comes now.
func replay(saved *run.Saved, now inputs) inputs {
	in := now
	in.read = func(path string) ([]byte, error) {
		b, ok := saved.Files[path]
		if !ok {
			return nil, fmt.Errorf("%s is not among the files of the plan", path)
		}
		return b, nil
	}
	in.environment = func(name string) (string, bool) {
		if value, ok := saved.Environment[strings.TrimPrefix(name, variablePrefix)]; ok {
			return value, true
		}
		return now.environment(name)
	}
	return in
}
