package local

import (
	"context"
	"errors"
	"fmt"
	"net"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"weft/engine/host"
	"weft/engine/host/linkinfo"
)

// rawLink is a link with its IFLA_INFO_DATA as the kernel sends it: the library
// reads some of a bond's and a bridge's options, and few more.
type rawLink struct {
	netlink.Link
	info []byte
}

// rawLinks lists the links of a namespace.
func rawLinks(namespace string) ([]rawLink, error) {
	request := nl.NewNetlinkRequest(unix.RTM_GETLINK, unix.NLM_F_DUMP)
	request.AddData(nl.NewIfInfomsg(unix.AF_UNSPEC))
	messages, asked := execute(namespace, request, unix.RTM_NEWLINK)
	if asked != nil && !errors.Is(asked, netlink.ErrDumpInterrupted) {
		return nil, asked
	}
	var all []rawLink
	for _, m := range messages {
		l, err := netlink.LinkDeserialize(nil, m)
		if err != nil {
			return nil, err
		}
		info, err := infoData(m)
		if err != nil {
			return nil, err
		}
		all = append(all, rawLink{l, info})
	}
	return all, asked
}

// infoData finds IFLA_LINKINFO's IFLA_INFO_DATA in a message.
func infoData(message []byte) ([]byte, error) {
	at := message[unix.SizeofIfInfomsg:]
	for _, kind := range []uint16{unix.IFLA_LINKINFO, nl.IFLA_INFO_DATA} {
		attributes, err := nl.ParseRouteAttr(at)
		if err != nil {
			return nil, err
		}
		at = nil
		for _, a := range attributes {
			if a.Attr.Type&^unix.NLA_F_NESTED == kind {
				at = a.Value
			}
		}
	}
	return at, nil
}

// execute sends a request from a namespace. The kernel says in words why it
// refuses one, where it does so.
func execute(namespace string, request *nl.NetlinkRequest, answer uint16) ([][]byte, error) {
	at := netns.None()
	if namespace != "" {
		ns, err := openNamespace(namespace)
		if err != nil {
			return nil, err
		}
		defer release(ns)
		at = netns.NsHandle(ns.Fd())
	}
	socket, err := nl.GetNetlinkSocketAt(at, netns.None(), unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("open rtnetlink: %w", err)
	}
	defer socket.Close()
	if err := socket.SetExtAck(true); err != nil {
		return nil, err
	}
	request.Sockets = map[int]*nl.SocketHandle{unix.NETLINK_ROUTE: {Socket: socket}}
	return request.Execute(unix.NETLINK_ROUTE, answer)
}

func (links) AddLink(ctx context.Context, l host.NewLink) error {
	err := dial(ctx, "", func(h *netlink.Handle) error { return addLink(h, l) })
	if err != nil {
		return fmt.Errorf("add %s %s: %w", l.Kind, l.Name, err)
	}
	return nil
}

func addLink(h *netlink.Handle, l host.NewLink) error {
	request := nl.NewNetlinkRequest(unix.RTM_NEWLINK, unix.NLM_F_CREATE|unix.NLM_F_EXCL|unix.NLM_F_ACK)
	request.AddData(nl.NewIfInfomsg(unix.AF_UNSPEC))
	request.AddData(nl.NewRtAttr(unix.IFLA_IFNAME, nl.ZeroTerminated(l.Name)))
	if l.Lower != "" {
		lower, err := findLink(h, l.Lower)
		if err != nil {
			return err
		}
		request.AddData(nl.NewRtAttr(unix.IFLA_LINK, nl.Uint32Attr(uint32(lower.Attrs().Index))))
	}
	if l.MAC != "" {
		mac, err := net.ParseMAC(l.MAC)
		if err != nil {
			return err
		}
		request.AddData(nl.NewRtAttr(unix.IFLA_ADDRESS, mac))
	}
	if l.MTU != 0 {
		request.AddData(nl.NewRtAttr(unix.IFLA_MTU, nl.Uint32Attr(uint32(l.MTU))))
	}
	if err := addInfo(h, request, l.Kind, l.Options); err != nil {
		return err
	}
	_, err := execute("", request, 0)
	return err
}

// addInfo adds IFLA_LINKINFO to a request.
func addInfo(h *netlink.Handle, request *nl.NetlinkRequest, kind string, options map[string]string) error {
	data, err := linkinfo.Encode(kind, options, func(device string) (int, error) {
		l, err := findLink(h, device)
		if err != nil {
			return 0, err
		}
		return l.Attrs().Index, nil
	})
	if err != nil {
		return err
	}
	info := nl.NewRtAttr(unix.IFLA_LINKINFO, nil)
	info.AddRtAttr(nl.IFLA_INFO_KIND, nl.NonZeroTerminated(kind))
	if len(data) > 0 {
		info.AddRtAttr(nl.IFLA_INFO_DATA, data)
	}
	request.AddData(info)
	return nil
}

func setOptions(h *netlink.Handle, namespace string, l netlink.Link, options map[string]string) error {
	request := nl.NewNetlinkRequest(unix.RTM_NEWLINK, unix.NLM_F_ACK)
	about := nl.NewIfInfomsg(unix.AF_UNSPEC)
	about.Index = int32(l.Attrs().Index)
	request.AddData(about)
	if err := addInfo(h, request, kindOf(l), options); err != nil {
		return err
	}
	if _, err := execute(namespace, request, 0); err != nil {
		return fmt.Errorf("options %v: %w", options, err)
	}
	return nil
}

func setMaster(h *netlink.Handle, namespace string, l netlink.Link, name string) error {
	index := uint32(0)
	if name != "" {
		master, err := findLink(h, name)
		if err != nil {
			return err
		}
		index = uint32(master.Attrs().Index)
	}
	request := nl.NewNetlinkRequest(unix.RTM_SETLINK, unix.NLM_F_ACK)
	about := nl.NewIfInfomsg(unix.AF_UNSPEC)
	about.Index = int32(l.Attrs().Index)
	request.AddData(about)
	request.AddData(nl.NewRtAttr(unix.IFLA_MASTER, nl.Uint32Attr(index)))
	if _, err := execute(namespace, request, 0); err != nil {
		return fmt.Errorf("master %q: %w", name, err)
	}
	return nil
}
