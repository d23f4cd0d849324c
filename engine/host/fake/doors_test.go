package fake_test

import (
	"testing"

	"weft/engine/host"
	"weft/engine/host/doortest"
	"weft/engine/host/fake"
)

func TestDoors(t *testing.T) {
	m := fake.New()
	m.SetKernel("/proc/self/oom_score_adj", "0\n")
	m.LinkKernel("/proc/self/cwd", "/")
	m.Program("cat", func(_ *fake.Machine, c host.Command) host.Result { return host.Result{Stdout: c.Stdin} })
	m.Program("false", func(*fake.Machine, host.Command) host.Result { return host.Result{Exit: 1} })
	m.Program("ls", func(*fake.Machine, host.Command) host.Result {
		return host.Result{Exit: 2, Stderr: []byte("ls: cannot access\n")}
	})
	before := m.Snapshot()
	doortest.Run(t, m.Host())
	m.SetKernel("/proc/self/oom_score_adj", "0\n")
	if after := m.Snapshot(); after != before {
		t.Errorf("the suite left something behind:\n%s\nbefore it:\n%s", after, before)
	}
}
