package network

import (
	"context"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"weft/engine/host"
)

// The echo service is a unit in /run, as systemd.unit(5) has it for what is
// gone after a reboot.
func echoUnit(vm string) string { return "weft-echo-" + vm + ".service" }

func echoPath(vm string) string { return "/run/systemd/system/" + echoUnit(vm) }

// echoText is the unit: the runner itself, in the namespace, able to do no more
// than listen.
func echoText(vm, runner string, port int) string {
	return fmt.Sprintf(`# Made by weft; it goes with the namespace.
[Unit]
Description=TCP echo of fake VM %s

[Service]
NetworkNamespacePath=/run/netns/%s
ExecStart=%s echo [::]:%d
CapabilityBoundingSet=CAP_NET_BIND_SERVICE
NoNewPrivileges=yes
Restart=on-failure
RestartSec=1
`, vm, vm, runner, port)
}

var execStart = regexp.MustCompile(`(?m)^ExecStart=.* echo \[::\]:([0-9]{1,5})$`)

// echoPort is the port in the text of a unit.
func echoPort(text string) (int, bool) {
	m := execStart.FindStringSubmatch(text)
	if m == nil {
		return 0, false
	}
	n, err := strconv.Atoi(m[1])
	return n, err == nil && n > 0 && n < 1<<16
}

// runnerPath is the program of the service, as it can stand in a unit.
func runnerPath(v host.View) (string, error) {
	if !strings.HasPrefix(v.Self, "/") || strings.ContainsAny(v.Self, " \t\n\"'\\%$;") {
		return "", fmt.Errorf("weft's own program lies at %q, which cannot stand in a unit", v.Self)
	}
	return v.Self, nil
}

// setEcho brings the service to what is wanted. It is stopped before its file
// changes: a service that runs is then always what its file says.
func setEcho(ctx context.Context, h host.Host, s *scene, want FakeVMSpec) error {
	port, there := want.Listen.Get()
	now, readable := echoPort(s.echo)
	runs := want.Link.Listening.Or(there)
	switch {
	case !want.Listen.Managed():
		return nil
	case !there:
		return removeEcho(ctx, h, s, want.Name)
	case now == port && readable && s.echoing == runs:
		return nil
	}
	if now != port || !readable {
		if err := stopEcho(ctx, h, s, want.Name); err != nil {
			return err
		}
		text := ""
		if want.Found != nil {
			text = want.Found.EchoUnit
		}
		if found, ok := echoPort(text); !ok || found != port {
			runner, err := runnerPath(h.View())
			if err != nil {
				return err
			}
			text = echoText(want.Name, runner, port)
		}
		if err := h.Files.Write(ctx, echoPath(want.Name), []byte(text), host.Attributes{}); err != nil {
			return err
		}
	}
	if err := h.Units.Do(ctx, host.Reload, ""); err != nil {
		return err
	}
	verb := host.Start
	if !runs {
		verb = host.Stop
	}
	return h.Units.Do(ctx, verb, echoUnit(want.Name))
}

func stopEcho(ctx context.Context, h host.Host, s *scene, vm string) error {
	if s.echo == "" {
		return nil
	}
	return h.Units.Do(ctx, host.Stop, echoUnit(vm))
}

func removeEcho(ctx context.Context, h host.Host, s *scene, vm string) error {
	if s.echo == "" {
		return nil
	}
	if err := stopEcho(ctx, h, s, vm); err != nil {
		return err
	}
	if err := h.Files.Remove(ctx, echoPath(vm)); err != nil {
		return err
	}
	return h.Units.Do(ctx, host.Reload, "")
}
