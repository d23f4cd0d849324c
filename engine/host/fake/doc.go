// Package fake is a whole Linux machine in memory: files with owners and
// modes, kernel values, systemd units, network namespaces with their links,
// databases, and programs. It runs anywhere and holds real state, so a test
// compares what a machine is, never which calls were made.
//
// A test arranges a machine, gives its doors to the code under test, and looks
// at what became of it:
//
//	m := fake.New()
//	m.WriteFile("/lib/systemd/system/ssh.service", fake.Service("/usr/sbin/sshd"))
//	m.Program("apt-get", func(m *fake.Machine, c host.Command) host.Result {
//		m.WriteFile("/usr/bin/hello", "\x7fELF")
//		return host.Result{}
//	})
//	before := m.Snapshot()
//	err := step.Apply(ctx, m.Host(), finding)
//	…
//	m.Systemctl(host.Stop, "ssh.service") // another hand
//
// The doors of [Machine.Host] refuse what the kernel and systemd refuse, with
// errors that wrap the same sentinels; the methods of [Machine] are the hand
// of root and of a test, and panic where they are misused. Both may be used
// from several goroutines.
//
// What the machine does by itself is registered: [Machine.Program] says what a
// program does, [Machine.OnUnit] what happens when a unit starts or stops,
// [Machine.OnKernel] what the kernel makes of a value, [Machine.OnPing] who
// answers, [Machine.OnFrame] with what frames. These functions are given the machine they run on, so that they
// work on a [Machine.Clone] too, and keep their state on it (a package table
// is a file), so that [Machine.Snapshot] sees it.
//
// A program that is run by Query must leave the machine as it was; one that
// does not panics with the difference.
package fake
