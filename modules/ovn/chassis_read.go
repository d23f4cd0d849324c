package ovn

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/ovn-org/libovsdb/ovsdb"

	"weft/engine/host"
	"weft/engine/host/row"
	"weft/engine/step"
)

const (
	idFile         = "/etc/openvswitch/system-id.conf"
	overrideFile   = "/etc/ovn/system-id-override"
	controllerUnit = "ovn-controller.service"

	systemID   = "system-id"
	mappingKey = "ovn-bridge-mappings"
	// movingKey names the unit that is stopped while the chassis changes its
	// name, so that a run that was killed is finished by the next one.
	movingKey = "weft-moving"
)

// externalID is a key of Open_vSwitch.external_ids that has an attribute.
type externalID struct{ key, attribute string }

func externalIDs() []externalID {
	return []externalID{
		{systemID, "system_id"}, {"hostname", "hostname"}, {"ovn-remote", "remote"},
		{"ovn-encap-type", "encap_type"}, {"ovn-encap-ip", "encap_ip"}, {"ovn-monitor-all", "monitor_all"},
		{"ovn-remote-probe-interval", "remote_probe_interval"}, {"ovn-openflow-probe-interval", "openflow_probe_interval"},
		{"ovn-bridge", "bridge"}, {"ovn-bridge-datapath-type", "bridge_datapath_type"},
		{mappingKey, "bridge_mappings"}, {movingKey, "system_id"},
	}
}

type chassis struct{}

func (chassis) Read(ctx context.Context, v host.View, want ChassisSpec) (ChassisSpec, error) {
	_, ids, err := openVSwitch(ctx, v.OVSDB)
	if err != nil {
		return ChassisSpec{}, err
	}
	have := attributes(ids, want)
	have.Found.Texts = ids
	if have.IDFile, err = readText(ctx, v.Files, idFile); err != nil {
		return have, err
	}
	override, err := readText(ctx, v.Files, overrideFile)
	if err != nil {
		return have, err
	}
	have.Found.Override = strings.TrimSpace(override.Or(""))
	have.Found.Own = strings.TrimSpace(have.IDFile.Or(""))
	if have.Found.Own == "" {
		have.Found.Own = ids[systemID]
	}
	if have.Found.Own == "" {
		if have.Found.Own, err = madeUp(ctx, v.Files); err != nil {
			return have, err
		}
	}
	if have.Found.LeadNowhere, err = leadNowhere(ctx, v.OVSDB, want.BridgeMappings); err != nil {
		return have, err
	}
	unit, err := v.Units.Unit(ctx, controllerUnit)
	have.Found.Running = unit.ActiveState == "active"
	if renamed(have, want) || !have.Moving.Absent() {
		have.Running = step.Is(have.Found.Running)
	}
	return have, err
}

// openVSwitch is the one row of Open_vSwitch and its external_ids.
func openVSwitch(ctx context.Context, db host.OVSDBReader) (ovsdb.Row, map[string]string, error) {
	found, err := selectRows(ctx, db, host.OpenVSwitch, row.Select("Open_vSwitch", []string{"_uuid", "external_ids"}))
	if err != nil {
		return nil, nil, err
	}
	if len(found[0]) == 0 {
		return nil, nil, fmt.Errorf("the table Open_vSwitch has no row: ovs-vsctl init was never run: %w", step.ErrNotYet)
	}
	return found[0][0], row.Map(found[0][0], "external_ids"), nil
}

// leadNowhere are the physical networks that are to lead to a bridge which is not there:
// ovn-controller passes over such a mapping.
func leadNowhere(ctx context.Context, db host.OVSDBReader, mappings keys) ([]string, error) {
	wanted := values(mappings)
	if len(wanted) == 0 {
		return nil, nil
	}
	found, err := selectRows(ctx, db, host.OpenVSwitch, row.Select("Bridge", []string{"name"}))
	if err != nil {
		return nil, err
	}
	bridges := names(found[0], "name")
	var out []string
	for _, network := range slices.Sorted(maps.Keys(wanted)) {
		if !slices.Contains(bridges, wanted[network]) {
			out = append(out, network)
		}
	}
	return out, nil
}

// attributes answers what want manages, in want's spelling where it means the
// same.
func attributes(ids map[string]string, want ChassisSpec) ChassisSpec {
	have := ChassisSpec{Found: &identity{}}
	get := func(key string) func() (string, bool) {
		return func() (string, bool) { v, ok := ids[key]; return v, ok }
	}
	list := func(key string, want step.Attr[string]) step.Attr[string] {
		a := optional(want, get(key))
		if w, ok := want.Get(); ok && sameList(w, a.Or("")) {
			return want
		}
		return a
	}
	have.SystemID = optional(step.None[string](), get(systemID))
	have.Moving = optional(step.None[string](), get(movingKey))
	have.Hostname = optional(want.Hostname, get("hostname"))
	if want.Remote != nil {
		have.Remote = append([]string{}, elements(ids["ovn-remote"])...)
	}
	have.EncapType = list("ovn-encap-type", want.EncapType)
	have.EncapIP = list("ovn-encap-ip", want.EncapIP)
	have.MonitorAll = optional(want.MonitorAll, func() (bool, bool) {
		v, ok := ids["ovn-monitor-all"]
		return strings.EqualFold(v, "true"), ok // as smap_get_bool() of Open vSwitch reads it
	})
	have.RemoteProbeInterval = optional(want.RemoteProbeInterval, number(ids, "ovn-remote-probe-interval"))
	have.OpenflowProbeInterval = optional(want.OpenflowProbeInterval, number(ids, "ovn-openflow-probe-interval"))
	have.Bridge = optional(want.Bridge, get("ovn-bridge"))
	have.BridgeDatapathType = optional(want.BridgeDatapathType, get("ovn-bridge-datapath-type"))
	have.BridgeMappings = keysLike(want.BridgeMappings, parseMappings(ids[mappingKey]).bridges())
	have.ExternalIDs = keysLike(want.ExternalIDs, ids)
	return have
}

// number reads an integer; what is none answers -1, which nobody wants.
func number(ids map[string]string, key string) func() (int, bool) {
	return func() (int, bool) {
		v, ok := ids[key]
		n, err := strconv.Atoi(strings.TrimSpace(v))
		if err != nil {
			n = -1
		}
		return n, ok
	}
}

func readText(ctx context.Context, files host.FileReader, path string) (step.Attr[string], error) {
	b, err := files.Read(ctx, path)
	if errors.Is(err, fs.ErrNotExist) {
		return step.None[string](), nil
	}
	if err != nil {
		return step.Attr[string]{}, err
	}
	return step.Is(string(b)), nil
}

// madeUp is a UUID that depends on the machine's id alone, and does not give
// it away (machine-id(5) asks for that).
func madeUp(ctx context.Context, files host.FileReader) (string, error) {
	id, err := files.Read(ctx, "/etc/machine-id")
	if err != nil {
		return "", fmt.Errorf("make a system-id, since the host has none: %w; set system_id", err)
	}
	sum := sha256.Sum256([]byte("weft ovn_chassis " + strings.TrimSpace(string(id))))
	sum[6], sum[8] = sum[6]&0x0f|0x80, sum[8]&0x3f|0x80 // RFC 9562: version 8, its variant
	return fmt.Sprintf("%x-%x-%x-%x-%x", sum[0:4], sum[4:6], sum[6:8], sum[8:10], sum[10:16]), nil
}

// mappings is the value of ovn-bridge-mappings: NETWORK:BRIDGE,….
type mappings [][2]string

func parseMappings(s string) mappings {
	var m mappings
	for _, pair := range elements(s) {
		network, bridge, _ := strings.Cut(pair, ":")
		m = append(m, [2]string{network, bridge})
	}
	return m
}

func (m mappings) bridges() map[string]string {
	out := map[string]string{}
	for _, pair := range m {
		out[pair[0]] = pair[1]
	}
	return out
}
