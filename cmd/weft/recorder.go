package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"weft/engine/control/run"
	"weft/engine/language"
)

// recorder keeps what a configuration was made of, for a saved plan. It is safe
// for concurrent use, as evaluation is.
type recorder struct {
	from inputs

	mu    sync.Mutex
	files map[string][]byte
	// environment and answers, by variable. What was answered had no other
	// value, so it may come from the environment another time.
	environment map[string]string
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
		r.environment[name] = answer
	}
	return answer, err
}

// variablePrefix begins the names of variables in the environment.
const variablePrefix = "WEFT_VAR_"

// secretless is what can be written down: files, flags and the environment
// without the values of sensitive variables. Where such a value stands is kept:
// of files that hold nothing else the paths.
func (r *recorder) secretless(p sensitive, vars, varFiles []string) (files map[string][]byte, flags []string, environment map[string]string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	files = maps.Clone(r.files)
	for _, path := range varFiles {
		if language.Encrypted(path, files[path]) {
			delete(files, path)
			continue
		}
		files[path] = p.Insensitive(path, files[path])
	}
	for _, v := range vars {
		name, path, isPath := valueFile(v)
		if !p.Sensitive(name) || isPath {
			flags = append(flags, v)
		}
		if p.Sensitive(name) && isPath {
			delete(files, path)
		}
	}
	environment = maps.Clone(r.environment)
	maps.DeleteFunc(environment, func(name, _ string) bool { return p.Sensitive(name) })
	return files, flags, environment
}

// valueFile takes NAME=@PATH apart.
func valueFile(flag string) (name, path string, ok bool) {
	name, value, _ := strings.Cut(flag, "=")
	path, ok = strings.CutPrefix(value, "@")
	return name, path, ok
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
	secret := slices.Clone(saved.VarFiles)
	for _, v := range saved.Vars {
		if _, path, ok := valueFile(v); ok {
			secret = append(secret, path)
		}
	}
	in.read = func(path string) ([]byte, error) {
		b, ok := saved.Files[path]
		switch {
		case ok:
			return b, nil
		case slices.Contains(secret, path):
			return now.read(path)
		}
		return nil, fmt.Errorf("%s is not among the files of the plan", path)
	}
	in.environment = func(name string) (string, bool) {
		if value, ok := saved.Environment[strings.TrimPrefix(name, variablePrefix)]; ok {
			return value, true
		}
		return now.environment(name)
	}
	return in
}
