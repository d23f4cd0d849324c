package push_test

import (
	"os/exec"
	"syscall"
	"testing"

	"weft/engine/control/push"
	"weft/engine/control/ssh"
	"weft/engine/control/ssh/sshtest"
)

// BenchmarkWarm is a connection to a host that has the runner, to its first
// answer: TCP, key exchange, login, session, runner. cpu-ms is what this end
// spends; the host's sshd forks and asks PAM meanwhile.
func BenchmarkWarm(b *testing.B) {
	sshtest.NeedRoot(b)
	s := sshtest.Start(b, sshtest.Config{Lines: []string{"MaxStartups 100"}})
	o := push.Options{Images: images(b, runner(b)), First: hello}
	works(b, connect(b, s, "root"), o)
	d, err := ssh.NewDialer(ssh.Options{UserConfig: "none", SystemConfig: "none", ConfigFiles: []string{s.ClientConfig(b, "root")}})
	if err != nil {
		b.Fatal(err)
	}
	defer d.Close()
	before := cpu(b)
	for b.Loop() {
		client, err := d.Dial(b.Context(), ssh.Target{Name: "box"})
		if err != nil {
			b.Fatal(err)
		}
		session, err := push.Start(b.Context(), client, o)
		if err != nil {
			b.Fatal(err)
		}
		if e, err := session.Events.Read(); err != nil || e.Hello == nil {
			b.Fatalf("%+v, %v", e, err)
		}
		session.Close()
		client.Close()
	}
	b.ReportMetric((cpu(b)-before)*1000/float64(b.N), "cpu-ms/op")
}

// BenchmarkOpenSSH is what `ssh box true` takes for the same, to compare with.
func BenchmarkOpenSSH(b *testing.B) {
	sshtest.NeedRoot(b)
	s := sshtest.Start(b, sshtest.Config{Lines: []string{"MaxStartups 100"}})
	config := s.ClientConfig(b, "root")
	for b.Loop() {
		if out, err := exec.Command("ssh", "-F", config, "-o", "BatchMode=yes", "box", "true").CombinedOutput(); err != nil {
			b.Fatalf("%v: %s", err, out)
		}
	}
}

// cpu is the processor time that this process has used, in seconds.
func cpu(b *testing.B) float64 {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return float64(u.Utime.Sec+u.Stime.Sec) + float64(u.Utime.Usec+u.Stime.Usec)/1e6
}
