package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"weft/engine/control/push"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"weft": main})
}

// TestScripts is the manual of the command line: what is typed, what is seen.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		UpdateScripts:       os.Getenv("UPDATE_SCRIPTS") != "",
		Cmds:                map[string]func(*testscript.TestScript, bool, []string){"exits": exits, "seal": seal},
		Condition: func(name string) (bool, error) {
			if name != "built" {
				return false, fmt.Errorf("there is no condition %q", name)
			}
			_, err := push.Embedded() // without runners no host is ever tried
			return err == nil, nil
		},
	})
}

// seal is `seal FILE IDENTITY`: writes FILE.age, encrypted for a new identity.
func seal(ts *testscript.TestScript, _ bool, args []string) {
	identity, encrypted, err := encryptedFile(ts.ReadFile(args[0]))
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]+".age"), []byte(encrypted), 0o600))
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), []byte(identity), 0o600))
}

// exits is `exits STATUS PROGRAM...`: exec, and with which status it must end.
func exits(ts *testscript.TestScript, _ bool, args []string) {
	status, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	var exit *exec.ExitError
	if err := ts.Exec(args[1], args[2:]...); errors.As(err, &exit) {
		got = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if got != status {
		ts.Fatalf("status %d, want %d", got, status)
	}
}
