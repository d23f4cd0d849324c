package system

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"weft/engine/host"
	"weft/engine/step"
)

// ServiceSpec is the spec of kind service, and the state of a unit.
type ServiceSpec struct {
	Unit      string          `json:"unit" weft:"label" doc:"The systemd unit; .service is added where it has no suffix."`
	Running   step.Attr[bool] `json:"running,omitzero" doc:"Whether it runs, and still does a moment later."`
	Enabled   step.Attr[bool] `json:"enabled,omitzero" doc:"Whether it starts at boot."`
	Masked    step.Attr[bool] `json:"masked,omitzero" doc:"Whether it cannot be started at all."`
	RestartOn []string        `json:"restart_on,omitzero" weft:"trigger" doc:"Steps whose changes restart the unit here, once."`
	Steady    string          `json:"steady,omitzero" default:"2s" doc:"How long after its start it must still run to count as running."`

	// Behind is whether the service runs that a socket starts: an undo gives that
	// back, too.
	Behind step.Attr[bool] `json:"service,omitzero" weft:"found"`
}

// Validate finds attributes that contradict each other.
func (s *ServiceSpec) Validate() []step.Problem {
	var problems []step.Problem
	if s.Unit == "" || strings.ContainsAny(s.Unit, "/ \n") {
		problems = append(problems, step.Problem{Path: "unit", Message: fmt.Sprintf("%q is not the name of a systemd unit", s.Unit)})
	}
	if s.Masked.Or(false) && (s.Running.Or(false) || s.Enabled.Or(false)) {
		problems = append(problems, step.Problem{Path: "masked", Message: "a masked unit can neither run nor be enabled"})
	}
	if d, err := time.ParseDuration(s.Steady); s.Steady != "" && (err != nil || d < 0) {
		problems = append(problems, step.Problem{Path: "steady", Message: fmt.Sprintf("%q is not a time", s.Steady), Hint: `write it with its unit: "2s"`})
	}
	return problems
}

func serviceKind() step.Kind {
	return step.Kind{
		Name:    "service",
		Summary: "A systemd unit: running, enabled, masked, restarted when other steps changed something.",
		Doc: `Name the unit that does the work. A meta unit, a oneshot that runs /bin/true such as openvswitch-switch.service, is active
whatever becomes of the daemons it pulls in, so running and restart_on are refused there and the real units are named; enabled
is fine, and for static units the only way.

A unit counts as running when it is active and still the same process after the time that steady gives: one that falls over at once
is not running, however often systemd starts it again.

To start or stop a socket, the service behind it is stopped for a moment where it runs: systemd starts no socket whose service runs,
and a service keeps the sockets that it was started with.

A change of a step that restart_on names raises the need to restart the unit. It is settled once, in this step's place, also by the next run if
this one is killed. Undo brings enabled, masked and running back; a unit found failed is left stopped.`,
		Spec: ServiceSpec{},
		Example: `step "service" "ovn-controller" {
  running    = true
  restart_on = [step.file["/etc/default/ovn-host"]]
}`,
		Make: func(u step.Unit) (step.Step, error) {
			want, err := step.Decode[ServiceSpec](u)
			if err != nil {
				return nil, err
			}
			if !strings.Contains(want.Unit, ".") {
				want.Unit += ".service"
			}
			return service{step.Of("unit "+want.Unit, services{}, want), want.Unit}, nil
		},
	}
}

// service is a step in whose place restarts of its unit are settled.
type service struct {
	step.Step
	unit string
}

// Settles is the restart of the unit.
func (s service) Settles() step.Need { return step.Need{Verb: step.RestartUnit, Object: s.unit} }

type services struct{}

// Read asks systemd. A unit that has only just started is asked again.
func (services) Read(ctx context.Context, v host.View, want ServiceSpec) (ServiceSpec, error) {
	have := ServiceSpec{Unit: want.Unit}
	u, err := v.Units.Unit(ctx, want.Unit)
	if err != nil {
		return have, err
	}
	if err := refusal(ctx, v, u, want); err != nil {
		return have, err
	}
	masked := u.LoadState == "masked" || u.FileState == "masked"
	have.Masked = step.Is(masked)
	have.Enabled = step.Is(slices.Contains([]string{"enabled", "alias", "linked"}, u.FileState))
	if masked {
		enabled, err := enabledBehindMask(ctx, v, u.Name)
		if err != nil {
			return have, err
		}
		have.Enabled = step.Is(enabled)
	}
	running := active(u)
	if want.Running.Or(false) && running {
		if running, err = steady(ctx, v, u, want.Steady); err != nil {
			return have, err
		}
	}
	have.Running = step.Is(running)
	if u.Triggers != "" && want.Running.Managed() {
		behind, err := v.Units.Unit(ctx, u.Triggers)
		if err != nil {
			return have, err
		}
		have.Behind = step.Is(active(behind))
	}
	return have, nil
}

func active(u host.Unit) bool { return u.ActiveState == "active" || u.ActiveState == "reloading" }

// refusal says what cannot be asked of a unit.
func refusal(ctx context.Context, v host.View, u host.Unit, want ServiceSpec) error {
	runs := want.Running.Or(false) || len(want.RestartOn) > 0
	switch {
	case u.LoadState == "not-found" && !want.Running.Or(true) && !want.Enabled.Or(false) && !want.Masked.Or(false) && !runs:
		return nil // what is not there neither runs nor starts at boot
	case u.LoadState == "not-found":
		return fmt.Errorf("there is no such unit; the package that brings it may not be installed: %w", step.ErrNotYet)
	case u.LoadState == "masked" && !want.Masked.Managed() && (want.Running.Or(false) || want.Enabled.Or(false)):
		return errors.New("the unit is masked and cannot be started; add masked = false")
	case u.LoadState == "error" || u.LoadState == "bad-setting":
		return fmt.Errorf("systemd cannot load %s (%s); look at: systemd-analyze verify %s", u.FragmentPath, u.LoadState, u.Name)
	case want.Enabled.Or(false) && slices.Contains([]string{"static", "generated", "transient", "indirect"}, u.FileState):
		return fmt.Errorf("the unit is %s, so it cannot be enabled: what pulls it in at boot is another unit; leave enabled out here", u.FileState)
	case runs && u.Type == "oneshot" && path.Base(u.ExecStart) == "true":
		return metaUnit(ctx, v, u)
	}
	return nil
}

// metaUnit names the units that a meta unit pulls in.
func metaUnit(ctx context.Context, v host.View, u host.Unit) error {
	text, err := v.Files.Read(ctx, u.FragmentPath)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	real := pulledIn(string(text))
	hint := "name the unit that does the work"
	if len(real) > 0 {
		hint = "name what it pulls in: " + strings.Join(real, ", ")
	}
	return fmt.Errorf("it is a meta unit that runs %s and is active whatever becomes of the daemons; %s", u.ExecStart, hint)
}

// pulledIn are the services that a unit file requires or wants.
func pulledIn(text string) []string {
	var units []string
	for line := range strings.Lines(text) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		if !slices.Contains([]string{"Requires", "Wants", "BindsTo"}, key) {
			continue
		}
		for _, name := range strings.Fields(value) {
			if strings.HasSuffix(name, ".service") && !slices.Contains(units, name) {
				units = append(units, name)
			}
		}
	}
	return units
}

// enabledBehindMask looks for the links that enabling made: systemd says only
// "masked".
func enabledBehindMask(ctx context.Context, v host.View, unit string) (bool, error) {
	const dir = "/etc/systemd/system"
	names, err := v.Files.List(ctx, dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	for _, name := range names {
		if ext := path.Ext(name); ext != ".wants" && ext != ".requires" {
			continue
		}
		_, err := v.Files.Stat(ctx, path.Join(dir, name, unit))
		if err == nil {
			return true, nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return false, err
		}
	}
	return false, nil
}

// steady waits until a unit has been active for a while, and says whether it is
// still the same start.
func steady(ctx context.Context, v host.View, u host.Unit, least string) (bool, error) {
	atLeast, err := time.ParseDuration(least)
	if err != nil {
		return true, nil // left out: as systemd says
	}
	uptime, err := v.Kernel.Get(ctx, "/proc/uptime")
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	since, err := uptimeSince(uptime, u.StartedAt)
	if err != nil {
		return false, err
	}
	if since >= atLeast {
		return true, nil
	}
	select {
	case <-time.After(atLeast - since):
	case <-ctx.Done():
		return false, ctx.Err()
	}
	now, err := v.Units.Unit(ctx, u.Name)
	return active(now) && now.StartedAt == u.StartedAt && now.MainPID == u.MainPID, err
}

// uptimeSince is how long ago a monotonic time in microseconds was, never less
// than nothing: the first word of /proc/uptime is in seconds (proc(5)).
func uptimeSince(uptime string, started int64) (time.Duration, error) {
	first, _, _ := strings.Cut(uptime, " ")
	seconds, err := strconv.ParseFloat(first, 64)
	if err != nil || !(seconds >= 0 && seconds < math.MaxUint32) { // NaN too
		return 0, fmt.Errorf("read /proc/uptime: %q is no number of seconds", first)
	}
	since := time.Duration(seconds*float64(time.Second)) - time.Duration(started)*time.Microsecond
	return max(since, 0), nil
}

// Diff compares the three.
func (services) Diff(have, want ServiceSpec) []step.Delta {
	want.Steady, have.Steady = "", ""
	deltas := step.Compare(have, want)
	if now, was := have.Behind.Or(false), want.Behind.Or(have.Behind.Or(false)); now != was {
		deltas = append(deltas, step.Change("service", now, was))
	}
	return deltas
}

// Write gives the orders in the one sequence that works for each change: a
// mask goes first and comes last.
func (services) Write(ctx context.Context, h host.Host, have, want ServiceSpec) error {
	masked := have.Masked.Or(false)
	wantMasked := want.Masked.Or(masked)
	changed := func(have, want step.Attr[bool]) bool {
		w, ok := want.Get()
		return ok && w != have.Or(false)
	}
	var orders []host.UnitVerb
	if masked && (!wantMasked || changed(have.Enabled, want.Enabled) || want.Running.Or(false) && changed(have.Running, want.Running)) {
		orders = append(orders, host.Unmask)
		masked = false
	}
	if changed(have.Enabled, want.Enabled) {
		orders = append(orders, order(want.Enabled, host.Enable, host.Disable))
	}
	if changed(have.Running, want.Running) {
		orders = append(orders, order(want.Running, host.Start, host.Stop))
	}
	if wantMasked && !masked {
		orders = append(orders, host.Mask)
	}
	do := func() error {
		for _, verb := range orders {
			if err := h.Units.Do(ctx, verb, want.Unit); err != nil {
				return err
			}
		}
		return nil
	}
	if have.Behind.Managed() && (changed(have.Running, want.Running) || changed(have.Behind, want.Behind)) {
		return behind(ctx, h, have, want, do)
	}
	return do()
}

func order(a step.Attr[bool], yes, no host.UnitVerb) host.UnitVerb {
	if a.Or(false) {
		return yes
	}
	return no
}

// Advise says when a service goes down.
func (services) Advise(f *step.Finding, have, want ServiceSpec) {
	for _, d := range f.Deltas {
		switch {
		case d.Path != "running":
		case have.Behind.Or(false):
			f.Cost.Disruption = "restarts the service of " + want.Unit
		case !want.Running.Or(true):
			f.Cost.Disruption = "stops " + want.Unit
		}
	}
	f.Outputs = json.RawMessage("{}")
}
