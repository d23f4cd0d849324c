package network

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/ovn-org/libovsdb/ovsdb"

	"weft/engine/host"
	"weft/engine/host/row"
	"weft/engine/step"
)

// Write goes one stage after the other, and looks anew before each: what a
// killed run left is where it goes on.
func (fakeVMs) Write(ctx context.Context, h host.Host, have, want FakeVMSpec) error {
	stages := []func(context.Context, host.Host, *scene, FakeVMSpec) error{
		unplugOther, addNamespace, addLink, setRow, placeEnd, dropRoutes, setEnd, setPort, setLoopback, addRoutes, setEcho,
	}
	if !want.State.There() {
		stages = []func(context.Context, host.Host, *scene, FakeVMSpec) error{refuseStrangers, removeAll}
	}
	if want.Link.LoopbackUp.Absent() { // an undo of a run that began without a namespace
		stages = append(stages, refuseStrangers, removeNamespace)
	}
	for _, stage := range stages {
		s, err := look(ctx, h.View(), want)
		if err != nil {
			return err
		}
		if err := stage(ctx, h, s, want); err != nil {
			return err
		}
	}
	if !want.State.There() || !want.Link.Alive.Or(false) {
		return nil
	}
	return awaitPort(ctx, h.View(), want)
}

// unplugOther takes away what is plugged in another way than wanted.
func unplugOther(ctx context.Context, h host.Host, s *scene, want FakeVMSpec) error {
	is := s.plugged()
	if is == want.Type && want.Bridge != "" {
		return nil
	}
	if s.portRow() != nil && (is != want.Type || want.Bridge == "") {
		if err := removeRow(ctx, h, s); err != nil {
			return err
		}
		if is == "internal" {
			return awaitNoLink(ctx, h.View(), want)
		}
	}
	if is == "veth" && want.Type != "veth" && s.port != nil {
		return h.Links.RemoveLink(ctx, "", s.port.Name)
	}
	return nil
}

func addNamespace(ctx context.Context, h host.Host, s *scene, want FakeVMSpec) error {
	if s.namespace || want.Link.LoopbackUp.Absent() {
		return nil
	}
	return h.Links.AddNamespace(ctx, want.Name)
}

// addLink makes the pair of a veth.
func addLink(ctx context.Context, h host.Host, s *scene, want FakeVMSpec) error {
	if want.Type != "veth" || s.end != nil {
		return nil
	}
	if other := named(s.outside, want.Port.Or("")); other != nil {
		return fmt.Errorf("the host has a link %s that does not lead to the VM: remove it, or give the VM another port", other.Name)
	}
	return h.Links.AddVeth(ctx, want.Port.Or(""), waiting(want))
}

// setRow brings port and interface of the OVS database to what is wanted, in
// one transaction.
func setRow(ctx context.Context, h host.Host, s *scene, want FakeVMSpec) error {
	if want.Bridge == "" {
		return nil
	}
	results, err := h.OVSDB.Select(ctx, host.OpenVSwitch, row.Select("Bridge", []string{"_uuid"}, row.Is("name", want.Bridge)))
	if err != nil {
		return err
	}
	if len(results[0].Rows) == 0 {
		return fmt.Errorf("there is no bridge %q", want.Bridge)
	}
	bridge := row.ID(results[0].Rows[0])
	var tx row.Tx
	if s.portRow() == nil {
		insertPort(&tx, bridge, want)
	} else {
		if on := row.ID(s.bridge); on != bridge {
			if on != "" {
				tx.Mutate("Bridge", on, row.RemoveRefs("ports", row.ID(s.portRow())))
			}
			tx.Mutate("Bridge", bridge, row.AddRefs("ports", row.ID(s.portRow())))
		}
		if keys := changedIDs(row.Map(s.interfaceRow(), "external_ids"), want); len(keys) > 0 {
			tx.Mutate("Interface", row.ID(s.interfaceRow()), row.SetKeys("external_ids", keys)...)
		}
	}
	if tx.Empty() {
		return nil
	}
	_, err = tx.Commit(ctx, h.OVSDB, host.OpenVSwitch)
	if errors.Is(err, row.ErrChanged) {
		return fmt.Errorf("%w (%w)", err, step.ErrConflict)
	}
	if err != nil || !want.Link.Alive.Or(false) {
		return err
	}
	return awaitPort(ctx, h.View(), want)
}

// insertPort makes the rows: of a record where there is one, else anew.
func insertPort(tx *row.Tx, bridge string, want FakeVMSpec) {
	name := want.Port.Or("")
	port, iface := ovsdb.Row{"name": name}, ovsdb.Row{"name": name}
	if want.Type == "internal" {
		iface["type"] = "internal"
	}
	if want.Found != nil && want.Found.Port != nil && want.Found.Interface != nil {
		port = want.Found.Port.Insertable("status", "rstp_status", "statistics", "rstp_statistics", "bond_active_slave", "qos")
		iface = want.Found.Interface.Insertable(seenColumns()...)
	}
	ids := row.Map(iface, "external_ids")
	for key, value := range changedIDs(ids, want) {
		if delete(ids, key); value != nil {
			ids[key] = *value
		}
	}
	iface["external_ids"], port["interfaces"] = row.Strmap(ids), row.UUIDs("interface")
	tx.GuardNone("Port", row.Is("name", name))
	tx.Insert("Interface", "interface", iface)
	tx.Insert("Port", "port", port)
	tx.Mutate("Bridge", bridge, row.AddRefs("ports", "port"))
}

// seenColumns are what ovs-vswitchd writes into an Interface row.
func seenColumns() []string {
	return []string{
		"admin_state", "bfd_status", "cfm_fault", "cfm_fault_status", "cfm_flap_count", "cfm_health", "cfm_remote_mpids",
		"cfm_remote_opstate", "duplex", "error", "ifindex", "lacp_current", "link_resets", "link_speed", "link_state",
		"mac_in_use", "mtu", "ofport", "statistics", "status",
	}
}

// changedIDs are the keys of an interface's external_ids that are not as
// wanted.
func changedIDs(now map[string]string, want FakeVMSpec) map[string]*string {
	keys := map[string]*string{}
	for key, a := range map[string]step.Attr[string]{"iface-id": want.IfaceID, "attached-mac": want.Link.AttachedMAC} {
		value, set := a.Get()
		is, there := now[key]
		switch {
		case !a.Managed(), set == there && value == is:
		case set:
			keys[key] = &value
		default:
			keys[key] = nil
		}
	}
	return keys
}

func removeRow(ctx context.Context, h host.Host, s *scene) error {
	if s.portRow() == nil || s.bridge == nil {
		return nil
	}
	var tx row.Tx
	tx.Mutate("Bridge", row.ID(s.bridge), row.RemoveRefs("ports", row.ID(s.portRow())))
	_, err := tx.Commit(ctx, h.OVSDB, host.OpenVSwitch)
	return err
}

// refuseStrangers keeps a namespace that somebody else uses.
func refuseStrangers(_ context.Context, _ host.Host, s *scene, want FakeVMSpec) error {
	if strangers := s.strangers(); len(strangers) > 0 {
		return fmt.Errorf("namespace %s holds links that are not the VM's: %v: %w", want.Name, strangers, step.ErrConflict)
	}
	return nil
}

// removeAll takes the VM away from the outside in: first nobody listens, then
// no packet arrives.
func removeAll(ctx context.Context, h host.Host, s *scene, want FakeVMSpec) error {
	if err := removeEcho(ctx, h, s, want.Name); err != nil {
		return err
	}
	if err := removeRow(ctx, h, s); err != nil {
		return err
	}
	if s.plugged() == "internal" {
		if err := awaitNoLink(ctx, h.View(), want); err != nil {
			return err
		}
	}
	if s.port != nil && s.port.Kind == "veth" {
		if err := h.Links.RemoveLink(ctx, "", s.port.Name); err != nil {
			return err
		}
	}
	return removeNamespace(ctx, h, s, want)
}

func removeNamespace(ctx context.Context, h host.Host, s *scene, want FakeVMSpec) error {
	if !s.namespace {
		return nil
	}
	return h.Links.RemoveNamespace(ctx, want.Name)
}

// awaitPort waits until ovs-vswitchd has the port in its datapath.
func awaitPort(ctx context.Context, v host.View, want FakeVMSpec) error {
	return step.Await(ctx, 10*time.Second, func() error {
		s, err := look(ctx, v, want)
		if err != nil {
			return err
		}
		if ok, why := s.alive(); !ok {
			return fmt.Errorf("port %s is not used by Open vSwitch: %s; see /var/log/openvswitch/ovs-vswitchd.log", want.Port.Or(""), why)
		}
		return nil
	})
}

// awaitNoLink waits until ovs-vswitchd has taken its link away, whose name is
// wanted for another.
func awaitNoLink(ctx context.Context, v host.View, want FakeVMSpec) error {
	return step.Await(ctx, 10*time.Second, func() error {
		s, err := look(ctx, v, want)
		if err == nil && (named(s.outside, want.Port.Or("")) != nil || named(s.inside, want.Port.Or("")) != nil) {
			err = fmt.Errorf("link %s is kept by Open vSwitch, though its port is gone; see /var/log/openvswitch/ovs-vswitchd.log", want.Port.Or(""))
		}
		return err
	})
}

// missing are the elements of a that are not in b.
func missing[T comparable](a, b []T) []T {
	return slices.DeleteFunc(slices.Clone(a), func(e T) bool { return slices.Contains(b, e) })
}
