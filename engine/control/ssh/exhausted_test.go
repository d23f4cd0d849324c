package ssh_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	xssh "golang.org/x/crypto/ssh"

	"weft/engine/control/ssh"
	"weft/engine/control/ssh/sshtest"
)

// A controller with 64 descriptors dials 300 hosts: whoever gets none is told
// so, nothing of what was read meanwhile is taken for the truth later, and
// those who ask again all get in.
func TestFewDescriptors(t *testing.T) {
	t.Parallel()
	s := sshtest.Impostor(t, func(string, xssh.Channel) uint32 { return 0 })
	child := exec.Command(os.Args[0], "-test.run=^TestChildWithFewDescriptors$", "-test.v")
	child.Env = append(os.Environ(), "WEFT_TEST_SSH_CONFIG="+s.ClientConfig(t, "root", "CertificateFile "+s.Path("cert")))
	out, err := child.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "300 hosts were let in") {
		t.Fatalf("%v:\n%s", err, out)
	}
	t.Log(string(out))
}

func TestChildWithFewDescriptors(t *testing.T) {
	config := os.Getenv("WEFT_TEST_SSH_CONFIG")
	if config == "" {
		t.Skip("is started by TestFewDescriptors")
	}
	d := dialer(t, ssh.Options{}, config)
	before := descriptors(t)
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: 64, Max: 64}); err != nil {
		t.Fatal(err)
	}
	var refused, let atomic.Int32
	freed := make(chan struct{}, 600) // two ask again for each that is done
	var wg sync.WaitGroup
	for i := range 300 {
		wg.Go(func() {
			for {
				c, err := d.Dial(t.Context(), ssh.Target{Name: "box"})
				if err == nil {
					let.Add(1)
					c.Close()
					freed <- struct{}{}
					freed <- struct{}{}
					return
				}
				var e *ssh.Error
				if !errors.As(err, &e) || e.Kind != ssh.Exhausted || !errors.Is(err, syscall.EMFILE) || !strings.Contains(e.Hint, "ulimit -n") {
					t.Errorf("host %d: %v", i, err)
					return
				}
				refused.Add(1)
				<-freed
			}
		})
	}
	wg.Wait()
	if refused.Load() == 0 {
		t.Error("there was no want of descriptors")
	}
	fmt.Printf("%d hosts were let in, after %d refusals\n", let.Load(), refused.Load())
	sshtest.Until(t, "as many descriptors are open as before", func() bool { return descriptors(t) <= before })
}

func descriptors(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skipf("counts descriptors: %v", err)
	}
	return len(entries)
}
