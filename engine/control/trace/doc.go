// Package trace follows a packet between two guests of OVN, and names the hop
// where it dies.
//
// What hosts say is all that it knows: it asks them through an [Asker], in a few
// rounds, and each answer is taken apart by a function that needs no host. First
// all say what their databases hold; then a central says what the logical flows
// do with the packet (ovn-trace(8)) and the source's Open vSwitch what its OpenFlow
// does (ofproto/trace of ovs-vswitchd(8)); last, where a logical flow drops the
// packet, the databases say on whose behalf.
//
//	survey.go    what every host is asked, and the [network] made of the answers
//	ends.go      the two ends, by the names that people have for them
//	packet.go    the packet, as ovn-trace and ofproto/trace spell it
//	ovntrace.go  what ovn-trace says
//	openflow.go  what ofproto/trace says
//	logical.go   the hops through logical switches and routers
//	cause.go     on whose behalf a logical flow drops
//	physical.go  the hops through ports, bridges and tunnels
//	ping.go      what the ports counted while packets really went
//	trace.go     all of it in order
//
// OpenFlow is followed on the chassis of the source. What it does behind a tunnel is
// told by the ping alone; logical flows are followed to the end.
//
// Nothing is changed on any host, and nothing sent but where a ping is asked for. One
// thing comes close: a userspace datapath that does not know the Ethernet address of a
// tunnel's other end asks for it by ARP when ofproto/trace comes to the tunnel.
package trace
