package tls

import (
	"crypto/ed25519"
	"testing"
	"time"

	"weft/engine/host"
	"weft/engine/host/fake"
	"weft/engine/onhost/killtest"
	"weft/engine/step/steptest"
)

// laws holds a kind to the laws of a step, and the runner to its promise
// wherever it is stopped in it.
func laws(t *testing.T, s steptest.Subject) {
	t.Helper()
	steptest.Laws(t, s)
	t.Run("killed", func(t *testing.T) { killtest.Subject(t, s) })
}

// sameAlways is material for runs that are compared: one key, one time.
func sameAlways() material {
	return material{now: func() time.Time { return lawsTime }, key: func() ed25519.PrivateKey { return keyOf(1) }}
}

const lawsDirectory = "/etc/" + steptest.Prefix

// machine has the directory, and accounts.
func machine() *fake.Machine {
	m := fake.New()
	m.Mkdir(lawsDirectory)
	return m
}

// hand writes files as another hand does.
func hand(name string, mode string, files map[string][]byte) steptest.Hand {
	h := steptest.Hand{Name: name, Fake: func(m *fake.Machine) {
		for path, content := range files {
			m.WriteFile(path, string(content))
			m.Chmod(path, modes[mode])
		}
	}}
	for path, content := range files {
		h.Host = append(h.Host, host.Command{Argv: []string{"tee", path}, Stdin: content}, host.Command{Argv: []string{"chmod", mode, path}})
	}
	return h
}

// removes removes files as another hand does.
func removes(name string, paths ...string) steptest.Hand {
	return steptest.Hand{
		Name: name,
		Fake: func(m *fake.Machine) {
			for _, p := range paths {
				m.Remove(p)
			}
		},
		Host: steptest.Run(append([]string{"rm", "-f"}, paths...)...),
	}
}

// clean makes the directory of a real host empty.
func clean() []host.Command {
	return append(steptest.Run("rm", "-rf", lawsDirectory), steptest.Run("mkdir", lawsDirectory)...)
}
