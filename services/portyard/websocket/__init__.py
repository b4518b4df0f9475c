"""WebSocket: an echo, broadcast rooms, refused upgrades and closes made to order, and Socket.IO."""
