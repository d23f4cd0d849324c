// Package linkinfo is what network devices of some kinds have beyond all others:
// the options of a bond, a bridge and a VLAN, as rtnetlink(7) carries them in
// IFLA_INFO_DATA (linux/if_link.h) and as people write them.
//
// Options are text by name. The names are those of ip-link(8), or of the kernel's
// networking/bonding.rst where ip-link has another; so are the words of an option
// that has any. A switch is "0" or "1". Times of a bond are in milliseconds, times
// of a bridge in hundredths of a second, as the kernel has them. An empty text is
// no device, no address.
package linkinfo

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// form is how an option's value lies in its attribute.
type form int

const (
	u8 form = iota
	u16
	u32
	big16     // of network byte order
	mac       // six bytes
	device    // the index of another device, 32 bits
	addresses // nested attributes, each an IPv4 address; as text with commas between
	bit       // one of IFLA_VLAN_FLAGS: flags and a mask, 32 bits each
)

// option is one of a kind's.
type option struct {
	name   string
	number uint16 // of the attribute
	form   form
	words  map[uint32]string // of a value that is a word
	flag   uint32            // of a bit: which
}

func words(list ...string) map[uint32]string {
	out := map[uint32]string{}
	for i, w := range list {
		out[uint32(i)] = w
	}
	return out
}

func optionsOf(kind string) []option {
	switch kind {
	case "bond":
		return bondOptions()
	case "bridge":
		return bridgeOptions()
	case "vlan":
		return vlanOptions()
	}
	return nil
}

func bondOptions() []option {
	return []option{
		{name: "mode", number: 1, form: u8, words: words("balance-rr", "active-backup", "balance-xor", "broadcast", "802.3ad", "balance-tlb", "balance-alb")},
		{name: "miimon", number: 3, form: u32},
		{name: "updelay", number: 4, form: u32},
		{name: "downdelay", number: 5, form: u32},
		{name: "arp_interval", number: 7, form: u32},
		{name: "arp_ip_target", number: 8, form: addresses},
		{name: "arp_validate", number: 9, form: u32, words: words("none", "active", "backup", "all", "filter", "filter_active", "filter_backup")},
		{name: "primary", number: 11, form: device},
		{name: "primary_reselect", number: 12, form: u8, words: words("always", "better", "failure")},
		{name: "fail_over_mac", number: 13, form: u8, words: words("none", "active", "follow")},
		{name: "xmit_hash_policy", number: 14, form: u8, words: words("layer2", "layer3+4", "layer2+3", "encap2+3", "encap3+4", "vlan+srcmac")},
		{name: "resend_igmp", number: 15, form: u32},
		{name: "num_peer_notif", number: 16, form: u8},
		{name: "all_slaves_active", number: 17, form: u8},
		{name: "min_links", number: 18, form: u32},
		{name: "lp_interval", number: 19, form: u32},
		{name: "packets_per_slave", number: 20, form: u32},
		{name: "lacp_rate", number: 21, form: u8, words: words("slow", "fast")},
		{name: "ad_select", number: 22, form: u8, words: words("stable", "bandwidth", "count")},
		{name: "ad_actor_sys_prio", number: 24, form: u16},
		{name: "ad_user_port_key", number: 25, form: u16},
		{name: "ad_actor_system", number: 26, form: mac},
		{name: "tlb_dynamic_lb", number: 27, form: u8},
		{name: "lacp_active", number: 29, form: u8},
	}
}

func bridgeOptions() []option {
	return []option{
		{name: "forward_delay", number: 1, form: u32},
		{name: "hello_time", number: 2, form: u32},
		{name: "max_age", number: 3, form: u32},
		{name: "ageing_time", number: 4, form: u32},
		{name: "stp_state", number: 5, form: u32},
		{name: "priority", number: 6, form: u16},
		{name: "vlan_filtering", number: 7, form: u8},
		{name: "vlan_protocol", number: 8, form: big16, words: vlanProtocols()},
		{name: "group_fwd_mask", number: 9, form: u16},
		{name: "mcast_snooping", number: 23, form: u8},
		{name: "mcast_querier", number: 25, form: u8},
	}
}

func vlanOptions() []option {
	return []option{
		{name: "id", number: 1, form: u16},
		{name: "reorder_hdr", number: 2, form: bit, flag: 1},
		{name: "gvrp", number: 2, form: bit, flag: 2},
		{name: "loose_binding", number: 2, form: bit, flag: 4},
		{name: "mvrp", number: 2, form: bit, flag: 8},
		{name: "bridge_binding", number: 2, form: bit, flag: 16},
		{name: "protocol", number: 5, form: big16, words: vlanProtocols()},
	}
}

// vlanProtocols are by ethertype (linux/if_ether.h).
func vlanProtocols() map[uint32]string {
	return map[uint32]string{0x8100: "802.1Q", 0x88a8: "802.1ad"}
}

// Encode makes the attributes of options, for IFLA_INFO_DATA. Index finds the
// device that an option names.
func Encode(kind string, options map[string]string, index func(device string) (int, error)) ([]byte, error) {
	var out []byte
	known := optionsOf(kind)
	for _, name := range slices.Sorted(maps.Keys(options)) {
		if !slices.ContainsFunc(known, func(o option) bool { return o.name == name }) {
			return nil, fmt.Errorf("a device of kind %q has no option %q", kind, name)
		}
	}
	var flags, mask uint32
	for _, o := range known {
		text, given := options[o.name]
		if !given {
			continue
		}
		if o.form == bit {
			if mask |= o.flag; text == "1" {
				flags |= o.flag
			}
			if text != "0" && text != "1" {
				return nil, fmt.Errorf("%s: %q is neither 0 nor 1", o.name, text)
			}
			continue
		}
		value, err := o.encode(text, index)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", o.name, err)
		}
		out = appendAttribute(out, o.number, value)
	}
	if mask != 0 {
		both := binary.NativeEndian.AppendUint32(nil, flags)
		out = appendAttribute(out, 2, binary.NativeEndian.AppendUint32(both, mask))
	}
	return out, nil
}

func (o option) encode(text string, index func(string) (int, error)) ([]byte, error) {
	switch o.form {
	case mac:
		address, err := net.ParseMAC(text)
		if err == nil && len(address) != 6 {
			err = fmt.Errorf("%q is no Ethernet address", text)
		}
		return address, err
	case addresses:
		var out []byte
		for i, part := range strings.FieldsFunc(text, func(r rune) bool { return r == ',' }) {
			a, err := netip.ParseAddr(part)
			if err != nil || !a.Is4() {
				return nil, fmt.Errorf("%q is no IPv4 address", part)
			}
			out = appendAttribute(out, uint16(i), a.AsSlice())
		}
		return out, nil
	case device:
		n := 0
		if text != "" {
			var err error
			if n, err = index(text); err != nil {
				return nil, err
			}
		}
		return binary.NativeEndian.AppendUint32(nil, uint32(n)), nil
	}
	n, err := o.parse(text)
	if err != nil {
		return nil, err
	}
	switch o.form {
	case u8:
		return []byte{byte(n)}, nil
	case u16:
		return binary.NativeEndian.AppendUint16(nil, uint16(n)), nil
	case big16:
		return binary.BigEndian.AppendUint16(nil, uint16(n)), nil
	default:
		return binary.NativeEndian.AppendUint32(nil, n), nil
	}
}

// parse is the number of a text.
func (o option) parse(text string) (uint32, error) {
	for n, w := range o.words {
		if w == text {
			return n, nil
		}
	}
	bits := map[form]int{u8: 8, u16: 16, big16: 16, u32: 32}[o.form]
	n, err := strconv.ParseUint(text, 10, bits)
	if err != nil && o.words != nil {
		return 0, fmt.Errorf("%q is none of %s", text, strings.Join(slices.Sorted(maps.Values(o.words)), ", "))
	}
	if err != nil {
		return 0, fmt.Errorf("%q is no number of %d bits", text, bits)
	}
	return uint32(n), nil
}

// Decode reads IFLA_INFO_DATA. What is not an option here is passed over. Name
// finds the name of a device by its index.
func Decode(kind string, data []byte, name func(index int) string) (map[string]string, error) {
	known := optionsOf(kind)
	if known == nil {
		return nil, nil
	}
	out := map[string]string{}
	err := each(data, func(number uint16, value []byte) error {
		for _, o := range known {
			if o.number != number {
				continue
			}
			text, err := o.decode(value, name)
			if err != nil {
				return fmt.Errorf("%s: %w", o.name, err)
			}
			out[o.name] = text
		}
		return nil
	})
	return out, err
}

func (o option) decode(value []byte, name func(int) string) (string, error) {
	size := map[form]int{u8: 1, u16: 2, big16: 2, u32: 4, mac: 6, device: 4, bit: 4}[o.form]
	if len(value) < size {
		return "", fmt.Errorf("%d bytes instead of %d", len(value), size)
	}
	var n uint32
	switch o.form {
	case mac:
		return net.HardwareAddr(value[:6]).String(), nil
	case addresses:
		var list []string
		err := each(value, func(_ uint16, address []byte) error {
			if len(address) != 4 {
				return fmt.Errorf("an IPv4 address of %d bytes", len(address))
			}
			list = append(list, netip.AddrFrom4([4]byte(address)).String())
			return nil
		})
		return strings.Join(list, ","), err
	case device:
		return name(int(binary.NativeEndian.Uint32(value))), nil
	case bit:
		if binary.NativeEndian.Uint32(value)&o.flag != 0 {
			return "1", nil
		}
		return "0", nil
	case u8:
		n = uint32(value[0])
	case u16:
		n = uint32(binary.NativeEndian.Uint16(value))
	case big16:
		n = uint32(binary.BigEndian.Uint16(value))
	case u32:
		n = binary.NativeEndian.Uint32(value)
	}
	if w, ok := o.words[n]; ok {
		return w, nil
	}
	return strconv.FormatUint(uint64(n), 10), nil
}

// An attribute has its length, with these four bytes, and its number before it,
// and ends at a multiple of four (rtnetlink(7), struct rtattr).
const header = 4

func appendAttribute(to []byte, number uint16, value []byte) []byte {
	to = binary.NativeEndian.AppendUint16(to, uint16(header+len(value)))
	to = binary.NativeEndian.AppendUint16(to, number)
	to = append(to, value...)
	for len(to)%4 != 0 {
		to = append(to, 0)
	}
	return to
}

var errShort = errors.New("attributes end in the middle of one")

// each calls use for each attribute.
func each(data []byte, use func(number uint16, value []byte) error) error {
	for len(data) > 0 {
		if len(data) < header {
			return errShort
		}
		length := int(binary.NativeEndian.Uint16(data))
		number := binary.NativeEndian.Uint16(data[2:]) & 0x3fff // without NLA_F_NESTED and NLA_F_NET_BYTEORDER
		if length < header || length > len(data) {
			return errShort
		}
		if err := use(number, data[header:length]); err != nil {
			return err
		}
		data = data[min((length+3)&^3, len(data)):]
	}
	return nil
}
