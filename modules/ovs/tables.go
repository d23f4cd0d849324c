package ovs

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ovn-org/libovsdb/ovsdb"

	"weft/engine/host"
	"weft/engine/host/row"
	"weft/engine/step"
)

// tables is what the steps of this family look at, read in one transaction.
// The columns are those of every Open vSwitch since 2.11, without counters.
type tables struct {
	root       ovsdb.Row
	bridges    map[string]ovsdb.Row // by UUID, as all below
	ports      map[string]ovsdb.Row
	interfaces map[string]ovsdb.Row

	controllers map[string]ovsdb.Row // with every column, as all below
	managers    map[string]ovsdb.Row
	mirrors     map[string]ovsdb.Row
}

func selects() []ovsdb.Operation {
	return []ovsdb.Operation{
		row.Select("Open_vSwitch", []string{"_uuid", "bridges", "manager_options", "other_config", "external_ids", "next_cfg", "cur_cfg", "ovs_version", "db_version", "dpdk_initialized"}),
		row.Select("Bridge", []string{"_uuid", "name", "datapath_type", "datapath_id", "fail_mode", "protocols", "stp_enable", "rstp_enable",
			"mcast_snooping_enable", "ports", "controller", "mirrors", "other_config", "external_ids"}),
		row.Select("Port", []string{"_uuid", "name", "interfaces", "tag", "trunks", "cvlans", "vlan_mode", "protected", "fake_bridge", "qos", "other_config", "external_ids",
			"bond_mode", "lacp", "bond_updelay", "bond_downdelay", "bond_fake_iface"}),
		row.Select("Interface", []string{"_uuid", "name", "type", "options", "mac", "mac_in_use", "mtu", "mtu_request", "ofport", "ofport_request", "error",
			"ingress_policing_rate", "ingress_policing_burst", "bfd", "lldp", "other_config", "external_ids"}),
		row.Select("Controller", nil),
		row.Select("Manager", nil),
		row.Select("Mirror", nil),
	}
}

// readTables remembers what it read until the next effect.
func readTables(ctx context.Context, v host.View) (tables, error) {
	return host.Recall(v.Memo, "ovs: tables", func() (tables, error) { return freshTables(ctx, v.OVSDB) })
}

func freshTables(ctx context.Context, r host.OVSDBReader) (tables, error) {
	results, err := r.Select(ctx, host.OpenVSwitch, selects()...)
	if err != nil {
		return tables{}, err
	}
	if len(results[0].Rows) != 1 {
		return tables{}, fmt.Errorf("the database of Open vSwitch has no row in its table Open_vSwitch: ovs-ctl(8) has not made it: %w", host.ErrNotReady)
	}
	return tables{
		root: results[0].Rows[0], bridges: row.ByID(results[1].Rows),
		ports: row.ByID(results[2].Rows), interfaces: row.ByID(results[3].Rows),
		controllers: row.ByID(results[4].Rows), managers: row.ByID(results[5].Rows),
		mirrors: row.ByID(results[6].Rows),
	}, nil
}

// named finds a row by its name.
func named(rows map[string]ovsdb.Row, name string) (ovsdb.Row, bool) {
	for _, r := range rows {
		if row.String(r, "name") == name {
			return r, true
		}
	}
	return nil, false
}

// bridge is the row of a bridge, which is to be there.
func (t tables) bridge(name string) (ovsdb.Row, error) {
	home, there := named(t.bridges, name)
	if !there {
		return nil, fmt.Errorf("there is no bridge %s", name)
	}
	return home, nil
}

// bridgeBefore is bridge for a check, whose step may come too early.
func (t tables) bridgeBefore(name string) (ovsdb.Row, error) {
	home, err := t.bridge(name)
	if err != nil {
		return nil, fmt.Errorf("%w: put a step ovs_bridge before it: %w", err, step.ErrNotYet)
	}
	return home, nil
}

// bridgeOf returns the bridge that holds a port.
func (t tables) bridgeOf(port ovsdb.Row) (ovsdb.Row, bool) {
	for _, b := range t.bridges {
		for _, id := range row.Refs(b, "ports") {
			if id == row.ID(port) {
				return b, true
			}
		}
	}
	return nil, false
}

// interfacesOf returns the interfaces of a bridge.
func (t tables) interfacesOf(bridge ovsdb.Row) []ovsdb.Row {
	var all []ovsdb.Row
	for _, p := range row.Refs(bridge, "ports") {
		for _, i := range row.Refs(t.ports[p], "interfaces") {
			all = append(all, t.interfaces[i])
		}
	}
	return all
}

// configureTime is how long ovs-vswitchd may take to do what the database
// says. A DPDK port with many queues takes seconds.
const configureTime = 30 * time.Second

// commit runs a transaction and waits until ovs-vswitchd has configured it, as
// ovs-vsctl(8) does: next_cfg counts requests, cur_cfg follows it.
func commit(ctx context.Context, h host.Host, t tables, tx *row.Tx) error {
	tx.Mutate("Open_vSwitch", row.ID(t.root), row.Increment("next_cfg"))
	at := tx.Read("Open_vSwitch", []string{"next_cfg"})
	results, err := tx.Commit(ctx, h.OVSDB, host.OpenVSwitch)
	if err != nil {
		return err
	}
	next, _ := row.Int(results[at].Rows[0], "next_cfg")
	return configured(ctx, h.View(), next)
}

// patience is how long a pause is once it is worth a look whether anybody is there
// to wait for.
const patience = 16 * time.Millisecond

// configured waits until cur_cfg reaches next, or until nobody is there to raise
// it.
func configured(ctx context.Context, v host.View, next int) error {
	ctx, cancel := context.WithTimeout(ctx, configureTime)
	defer cancel()
	cur, began := 0, time.Now()
	for pause := time.Millisecond; ; pause = min(2*pause, 100*time.Millisecond) {
		results, err := v.OVSDB.Select(ctx, host.OpenVSwitch, row.Select("Open_vSwitch", []string{"cur_cfg"}))
		switch {
		case err != nil && ctx.Err() == nil:
			return fmt.Errorf("wait for ovs-vswitchd: %w", err)
		case err == nil && len(results[0].Rows) == 1:
			cur, _ = row.Int(results[0].Rows[0], "cur_cfg")
		}
		if cur >= next {
			return nil
		}
		if pause >= patience {
			if err := down(ctx, v, time.Since(began)); err != nil {
				return err
			}
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return fmt.Errorf("ovs-vswitchd has not configured what the database says (cur_cfg %d, next_cfg %d): is ovs-vswitchd.service running? (%w)", cur, next, ctx.Err())
		}
	}
}

// untilRestart is for how long a daemon that died may be inactive before systemd starts
// it again (dead-before-auto-restart).
const untilRestart = 3 * time.Second

// down says that ovs-vswitchd does not run and that nobody is starting it; nil also
// where that is not known, or where it runs without its unit.
func down(ctx context.Context, v host.View, waited time.Duration) error {
	u, err := v.Units.Unit(ctx, switchUnit)
	if err != nil || u.LoadState != "loaded" || u.ActiveState != "failed" && (u.ActiveState != "inactive" || waited < untilRestart) {
		return nil
	}
	if _, err := v.Daemons.Ask(ctx, "ovs-vswitchd", "version"); !errors.Is(err, host.ErrNotReady) {
		return nil
	}
	return fmt.Errorf("the database says it, and %s is %s and configures nothing; see: journalctl -u %s", switchUnit, u.ActiveState, switchUnit)
}
