package ssh_test

import (
	"strings"
	"testing"

	"weft/engine/control/ssh"
	"weft/engine/control/ssh/sshtest"
)

// A fresh connection is new all the way, and leaves nothing behind it.
func TestDialFresh(t *testing.T) {
	t.Parallel()
	jump, target := sshtest.Start(t, sshtest.Config{}), sshtest.Start(t, sshtest.Config{})
	d := dialer(t, ssh.Options{}, behind(t, jump, target))
	old := mustDial(t, d, box)
	fresh, err := d.DialFresh(t.Context(), box)
	if err != nil {
		t.Fatal(err)
	}
	defer fresh.Close()
	logins := func(s *sshtest.Server) int { return strings.Count(content(t, s.Log), "Accepted publickey") }
	sshtest.Until(t, "two logins at the jump host and two at the target", func() bool { return logins(jump) == 2 && logins(target) == 2 })
	mustDial(t, d, box)
	if n := logins(jump); n != 2 {
		t.Errorf("the jump host saw %d logins: a usual connection did not go over the shared one", n)
	}

	// The connection to the jump host ends with the client that owns it.
	connections := jump.Connections()
	fresh.Close()
	sshtest.Until(t, "the connection to the jump host is closed", func() bool { return jump.Connections() == connections-1 })
	if out, _, err := say(t, old, "echo still", ""); out != "still\n" || err != nil {
		t.Errorf("the shared connection said %q, %v", out, err)
	}

	// Nor is one left where the target refuses.
	if c, err := d.DialFresh(t.Context(), ssh.Target{Name: "box", User: "stranger"}); err == nil {
		c.Close()
		t.Fatal("a stranger was let in")
	}
	sshtest.Until(t, "the connection to the jump host is closed after a refusal", func() bool { return jump.Connections() == connections-1 })
}
