package ovn

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"weft/engine/host"
	"weft/engine/host/row"
	"weft/engine/step"
)

const (
	// requestedChassis is the key in options of a logical switch port, ovn-nb(5): one
	// chassis, or several where the guest is between two.
	requestedChassis = "requested-chassis"
	// heard is how long a chassis may take until it has done what the northbound
	// database asks for.
	heard = 30 * time.Second
	// calledOff is how long a migration may take to end that was called off.
	calledOff = time.Minute
)

// Write implements [step.Resource].
func (m migrations) Write(ctx context.Context, h host.Host, have, want migrationState) error {
	want = want.wanted(have)
	seen, err := settled(ctx, h.View(), want)
	if err != nil {
		return err
	}
	have.At, have.Found = seen.at, &migrationFound{}
	if err := readDefinition(ctx, h.View(), &have); err != nil {
		return err
	}
	autostart := want.Autostart.Or(have.Autostart.Or(false))
	ports := maps.Clone(want.Ports)
	if have.At != want.At {
		if err := m.move(ctx, h, have, want); err != nil {
			return err
		}
		ports = want.How.bound(have.Ports, want.At)
		maps.Copy(ports, want.Ports)
		have.At = want.At
		if err := readDefinition(ctx, h.View(), &have); err != nil { // libvirt leaves autostart behind
			return err
		}
	}
	if err := request(ctx, h, ports); err != nil {
		return err
	}
	if have.Found.Persistent && autostart != have.Autostart.Or(false) {
		words := []string{"autostart", "--domain", want.Domain}
		if !autostart {
			words = append(words, "--disable")
		}
		if _, err := h.Commands.Run(ctx, virsh(want.How.Hypervisors[want.At].URI, words...)); err != nil {
			return err
		}
	}
	maps.DeleteFunc(ports, func(p string, _ step.Attr[string]) bool { _, there := have.Ports[p]; return !there })
	return arrived(ctx, h.View(), want, ports)
}

// arrived waits until the guest's ports are bound where it is, as far as they may.
func arrived(ctx context.Context, v host.View, s migrationState, ports keys) error {
	chassis := s.How.chassis(s.At)
	for _, p := range slices.Sorted(maps.Keys(ports)) {
		if requested, set := ports[p].Get(); set && !slices.Contains(strings.Split(requested, ","), chassis) {
			continue // an undo that brings back what another hand asked for
		}
		probe := ProbePortSpec{Port: p, Chassis: step.Is(chassis), Up: true, Timeout: heard}
		if _, err := probe.Probe(ctx, v); err != nil {
			return err
		}
	}
	return nil
}

// move has the guest run where it is wanted, or leaves it and its ports where they are.
func (m migrations) move(ctx context.Context, h host.Host, have, want migrationState) error {
	if err := knowsTwo(ctx, h.View(), have.Ports); err != nil {
		return err
	}
	err := m.announce(ctx, h, have, want)
	if err == nil {
		journey := virsh(want.How.Hypervisors[have.At].URI, migrateWords(have, want)...)
		journey.Timeout = want.How.Timeout
		_, err = h.Commands.Run(ctx, journey)
	}
	if err != nil {
		return stay(ctx, h, have, want, err)
	}
	return nil
}

// knowsTwo refuses an OVN that takes two requested chassis for one that does not exist, and would unbind the port: those
// before 22.06.
func knowsTwo(ctx context.Context, v host.View, ports keys) error {
	for p := range ports {
		_, err := selectRows(ctx, v.OVSDB, host.Southbound, row.Select("Port_Binding", []string{"requested_additional_chassis"}, row.Is("logical_port", p)))
		var refused *host.OperationError
		if errors.As(err, &refused) {
			return fmt.Errorf("this OVN binds a port at one chassis alone, and a guest would be cut off while it moves; it takes OVN 22.06: %w", err)
		}
		return err
	}
	return nil
}

// announce tells OVN of both places, and waits until both know.
func (m migrations) announce(ctx context.Context, h host.Host, have, want migrationState) error {
	if len(have.Ports) == 0 {
		return nil
	}
	tx, err := requests(ctx, h.View(), want.How.bound(have.Ports, have.At, want.At))
	if err != nil {
		return err
	}
	// Even where a step that was stopped had asked already: nobody knows for which generation.
	if _, err := commit(ctx, h, tx); err != nil {
		return err
	}
	return step.Await(ctx, heard, func() error {
		for _, at := range []string{have.At, want.At} {
			chassis, err := chassisNamed(ctx, h.View(), want.How.chassis(at))
			if err == nil {
				_, err = reached(ctx, h.View(), chassis)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// migrateWords are the arguments of virsh migrate. A domain without a definition has none to take along.
func migrateWords(have, want migrationState) []string {
	to := want.How.Hypervisors[want.At]
	words := []string{"migrate", "--live", "--p2p", "--abort-on-error", "--domain", want.Domain, "--desturi", to.URI}
	if have.Found.Persistent {
		words = append(words, "--persistent", "--undefinesource")
	}
	if address, given := to.Address.Get(); given {
		words = append(words, "--migrateuri", "tcp://"+bracketed(address))
	}
	if want.How.Encryption == "tls" {
		words = append(words, "--tls")
	}
	return words
}

// bracketed is an address as a URI has it, RFC 3986 section 3.2.2.
func bracketed(address string) string {
	if strings.Contains(address, ":") {
		return "[" + address + "]"
	}
	return address
}

// stay ends a migration that failed: what is still under way is called off, and the ports are bound where the guest is then.
// A guest that arrived all the same is no failure.
func stay(ctx context.Context, h host.Host, have, want migrationState, failed error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*calledOff)
	defer cancel()
	h.Memo.Forget()
	if seen, err := look(ctx, h.View(), want); err != nil || seen.at != want.At {
		// Also where nothing is seen under way: it may have only just begun. What is over cannot be called off.
		_, _ = h.Commands.Run(ctx, virsh(want.How.Hypervisors[have.At].URI, "domjobabort", "--domain", want.Domain))
	}
	want.How.Timeout = calledOff
	seen, err := settled(ctx, h.View(), want)
	if err == nil && seen.at == want.At {
		return nil
	}
	if err == nil && seen.at == have.At {
		err = jobless(ctx, h.View(), have)
	}
	if err != nil {
		return fmt.Errorf("migrate from %s to %s: %w; where it is now is not known, so its ports are bound at both: %s", have.At, want.At, failed, err.Error()) // a guest that is gone is no other hand's work
	}
	if err := request(ctx, h, before(have, seen.at)); err != nil {
		failed = errors.Join(failed, err)
	}
	return fmt.Errorf("migrate from %s to %s: %w; the guest goes on at %s, where its ports are bound", have.At, want.At, failed, seen.at)
}

// jobless waits until libvirt does nothing with the guest any more where it is.
func jobless(ctx context.Context, v host.View, s migrationState) error {
	return step.Await(ctx, calledOff, func() error {
		r, err := v.Commands.Query(ctx, virsh(s.How.Hypervisors[s.At].URI, "domjobinfo", "--domain", s.Domain))
		if err != nil {
			return err
		}
		if job := parseTitled(string(r.Stdout))["Job type"]; job != "None" {
			return fmt.Errorf("%s still has a job for domain %s (%q)", s.At, s.Domain, job)
		}
		return nil
	})
}

// before is what the ports asked for, unless that leaves out the place where the guest is, or a step that was stopped had
// left both there.
func before(have migrationState, at string) keys {
	out := have.How.bound(have.Ports, at)
	for p, a := range have.Ports {
		if requested, set := a.Get(); !set || at == have.At && !strings.Contains(requested, ",") {
			out[p] = a
		}
	}
	return out
}

// request sets the requested-chassis of ports, and does nothing where all have it.
func request(ctx context.Context, h host.Host, ports keys) error {
	tx, err := requests(ctx, h.View(), ports)
	if err != nil || tx.Empty() {
		return err
	}
	_, err = commit(ctx, h, tx)
	return err
}

// requests is the transaction that sets the requested-chassis of ports.
func requests(ctx context.Context, v host.View, ports keys) (*row.Tx, error) {
	tx := new(row.Tx)
	for _, name := range slices.Sorted(maps.Keys(ports)) {
		wanted := keys{requestedChassis: ports[name]}
		found, err := selectRows(ctx, v.OVSDB, host.Northbound, row.Select(portTable, []string{"_uuid", "options"}, row.Is("name", name)))
		if err != nil {
			return nil, err
		}
		for _, p := range found[0] {
			if change := changedKeys(keysLike(wanted, row.Map(p, "options")), wanted); len(change) > 0 {
				tx.Mutate(portTable, row.ID(p), row.SetKeys("options", change)...)
			}
		}
	}
	return tx, nil
}
